"""Continuous wavelet transform of many signals at once: a bank of analytic filters, by FFT.

Generalised Morse wavelets (Olhede and Walden 2002; Lilly and Olhede 2009, 2012, whose notation this
follows): a wavelet at scale s passes the frequency w, in radians a sample, by 2 (e gamma / beta)^
(beta / gamma) (s w)^beta exp(-(s w)^gamma), for w > 0 alone. Peak 2 at every scale, which makes the
modulus of the transform of a sinusoid its amplitude. Complex Morlet: a Gaussian around s w = 13.4,
which has about the same width in frequency, less what makes it 0 at w = 0.

Scales and padding are those that ssqueezepy 0.6 chooses by itself ("log-piecewise", "reflect"), so
that the moduli are comparable, number by number. Plain PyTorch on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from ..base.errors import TcnfastError

MIN_LENGTH = 16  # bases; under it hardly a scale is left
VOICES = 32  # scales an octave
# complex numbers at once: what stays in a core's cache, or keeps a GPU busy
_AT_ONCE = {"cpu": 1 << 17, "other": 1 << 25}

# scales are thinned out to every 4th from the first 5 neighbours whose passbands, on a grid of 2048
# points, are at most 4 points wide and whose peaks lie less than 3 points, in sum, from where all
# of them overlap most
_THIN, _TOGETHER, _GRID, _WIDTH, _SPREAD = 4, 5, 2048, 4, 3
_NEGLIGIBLE = 0.02  # of the peak of a passband


@dataclass(frozen=True)
class Wavelet:
    """``log_gain`` of s w > 0, natural logarithm, float64, 0 at its only peak ``peak``; ``gain`` is
    what stands there; ``half``: the s w under the peak where half of it stands."""

    log_gain: Callable[[np.ndarray], np.ndarray]
    gain: float
    peak: float
    half: float


def _morse(gamma: float = 3.0, beta: float = 60.0) -> Wavelet:
    peak = (beta / gamma) ** (1 / gamma)

    def log_gain(w: np.ndarray) -> np.ndarray:
        return beta * np.log(w / peak) - (w**gamma - peak**gamma)

    return Wavelet(log_gain, 2.0, peak, _half(log_gain, peak))


def _morlet(mu: float = 13.4) -> Wavelet:
    # what has to go at w = 0 is exp(-mu^2 / 2), 1e-39: the peak does not move
    zero_mean = math.exp(-(mu**2) / 2)
    norm = (1 + math.exp(-(mu**2)) - 2 * math.exp(-0.75 * mu**2)) ** -0.5
    gain = math.sqrt(2) * norm * math.pi**0.25

    def log_gain(w: np.ndarray) -> np.ndarray:
        return -((w - mu) ** 2) / 2 + np.log1p(-zero_mean * np.exp(mu**2 / 2 - mu * w))

    return Wavelet(log_gain, gain, mu, _half(log_gain, mu))


def _half(log_gain: Callable[[np.ndarray], np.ndarray], peak: float) -> float:
    return brentq(lambda w: log_gain(w) + math.log(2), peak / 1e3, peak)


WAVELETS = {"morse": _morse(), "morlet": _morlet()}


def known_wavelet(name: str) -> Wavelet:
    """The wavelet ``name``; raises TcnfastError for another one."""
    if name not in WAVELETS:
        raise TcnfastError(f"wavelet {name!r}: must be one of {', '.join(WAVELETS)}")
    return WAVELETS[name]


def padded_length(length: int) -> int:
    """Points that a signal of ``length`` is filled up to: a power of 2, from 1.4 to 2.8 times."""
    return 2 ** (1 + round(math.log2(length)))


def scales(length: int, wavelet: str = "morse", voices: int = VOICES) -> np.ndarray:
    """Scales for signals of ``length`` points, ascending: float64 (scales,).

    From half the peak at the Nyquist frequency to the peak on the second frequency of the padded
    signal, ``voices`` an octave and, where passbands are narrower than frequencies lie apart, a
    quarter of them. Raises TcnfastError for signals under MIN_LENGTH.
    """
    if length < MIN_LENGTH:
        raise TcnfastError(f"a signal of {length} bases has no scalogram; it takes {MIN_LENGTH}")
    if voices < 1:
        raise TcnfastError(f"voices {voices}: must be at least 1")
    return _scales(padded_length(length), known_wavelet(wavelet), voices)


@lru_cache(maxsize=64)
def _scales(size: int, shape: Wavelet, voices: int) -> np.ndarray:
    smallest = shape.half / math.pi
    # the largest is measured on the wavelet that peaks on point M / 8, a point beside its peak
    largest = 4 / math.pi * shape.peak * (size / 8 - 1) / 2
    first = math.floor(voices * math.log2(smallest))
    count = math.ceil(voices * math.log2(largest / smallest))
    found = 2.0 ** (np.arange(first, first + count) / voices)
    crowded = _first_crowded(shape, found)
    if crowded is not None:
        found = np.concatenate([found[:crowded], found[crowded + _THIN - 1 :: _THIN]])
    found.flags.writeable = False
    return found


def _first_crowded(shape: Wavelet, found: np.ndarray) -> int | None:
    """Index of the first scale whose neighbours say almost the same as it does; None for none."""
    w = 2 * math.pi / _GRID * np.arange(1, _GRID // 2)
    log_gains = shape.log_gain(found[:, None] * w)
    log_gains -= log_gains.max(1, keepdims=True)
    width = (log_gains > math.log(_NEGLIGIBLE)).sum(1)
    peaks = log_gains.argmax(1)
    groups = len(found) - _TOGETHER - 1
    for i in range(groups - 1):
        group = slice(i, i + _TOGETHER)
        common = log_gains[group].sum(0).argmax()
        narrow = width[group].mean() <= _WIDTH
        if narrow and np.abs(peaks[group] - common).sum() < _SPREAD:
            return i
    return None


@lru_cache(maxsize=64)
def _filter_bank(size: int, wavelet: str, found: bytes, device: str) -> Tensor:
    """Passbands of scales on the frequencies 0 to Nyquist of ``size`` points: float32 (scales, size
    / 2 + 1), not to be written to."""
    shape = known_wavelet(wavelet)
    w = 2 * math.pi / size * np.arange(1, size // 2 + 1)
    log_gains = shape.log_gain(np.frombuffer(found)[:, None] * w)
    gains = np.pad(shape.gain * np.exp(log_gains), ((0, 0), (1, 0)))
    # the Nyquist frequency is its own negative one, of which an analytic filter has none
    gains[:, -1] /= 2
    return torch.from_numpy(gains).float().to(device)


def modulus(signal: Tensor, wavelet: str = "morse", voices: int = VOICES) -> Tensor:
    """|CWT| of real signals (N, L), by column of the signal: float32 (N, scales, L).

    The smallest scale comes first. Signals are filled up on both sides by their mirror images.
    Raises TcnfastError for signals under MIN_LENGTH or not (N, L).
    """
    if signal.dim() != 2:
        raise TcnfastError(f"signals {tuple(signal.shape)}: must be (N, L)")
    length = signal.shape[1]
    size, found = padded_length(length), scales(length, wavelet, voices)
    bank = _filter_bank(size, wavelet, found.tobytes(), str(signal.device))
    before = size - length - (size - length) // 2
    out = torch.empty((len(signal), len(bank), length), device=signal.device)
    if not len(signal):
        return out
    ends = before, size - length - before
    padded = torch.nn.functional.pad(signal.float(), ends, mode="reflect")
    spectra = torch.fft.rfft(padded)[:, None]
    at_once = _AT_ONCE.get(signal.device.type, _AT_ONCE["other"]) // (len(bank) * size)
    at_once = min(max(1, at_once), len(signal))
    passed = torch.zeros((at_once, len(bank), size), dtype=torch.complex64, device=signal.device)
    transformed = torch.empty_like(passed)
    for start in range(0, len(signal), at_once):
        part = spectra[start : start + at_once]
        # negative frequencies stay 0: the signal becomes analytic
        torch.mul(part, bank, out=passed[: len(part), :, : bank.shape[1]])
        torch.fft.ifft(passed[: len(part)], out=transformed[: len(part)])
        wanted = transformed[: len(part), :, before : before + length]
        torch.abs(wanted, out=out[start : start + len(part)])
    return out
