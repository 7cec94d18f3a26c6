"""The wavelet transform against ssqueezepy and against what it must do to known signals; pictures
against matplotlib."""

import math

import numpy as np
import pytest
import torch

from tcnfast.base.errors import TcnfastError
from tcnfast.windows import wavelets
from tcnfast.windows.resnet import PICTURE_MEAN, PICTURE_STD
from tcnfast.windows.scalogram import colour_levels, own_ranges, pictures, standardised
from tcnfast.windows.turbo import TURBO

THEIRS = {"morse": "gmw", "morlet": "morlet"}


def signal(length, seed=0):
    """A, C, G, T as 1 to 4: float64 (length,)."""
    return np.random.default_rng(seed).integers(1, 5, length).astype(float)


# both sides of every change of the padded length, the published lengths, the shortest
LENGTHS = [16, 22, 23, 90, 91, 92, 101, 181, 182, 216, 350, 362, 363, 500, 724, 725, 830, 1000]


@pytest.mark.parametrize("name", wavelets.WAVELETS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.filterwarnings("ignore")  # numba's, of its code
def test_the_modulus_is_that_of_ssqueezepy(name, length, monkeypatch):
    monkeypatch.setenv("SSQ_PARALLEL", "0")  # which compiles in a third of the time
    ssqueezepy = pytest.importorskip("ssqueezepy")
    signals = np.stack([signal(length, seed) for seed in range(3)])
    theirs = [ssqueezepy.cwt(x, THEIRS[name]) for x in signals]
    np.testing.assert_allclose(wavelets.scales(length, name), theirs[0][1], rtol=1e-6)
    ours = wavelets.modulus(torch.from_numpy(signals), name).numpy()
    for got, (transform, _) in zip(ours, theirs, strict=True):
        want = np.abs(transform)
        assert np.abs(got - want).max() <= 1e-4 * want.max()


def test_numbers_of_scales_are_the_measured_ones():
    measured = {92: 195, 101: 195, 200: 221, 350: 221, 500: 229, 512: 229, 830: 237, 1000: 237}
    for length, count in measured.items():
        found = wavelets.scales(length)
        assert len(found) == count and (np.diff(found) > 0).all()
        assert found[0] == pytest.approx(0.788, abs=1e-3)


@pytest.mark.parametrize("name, gain", [("morse", 2.0), ("morlet", math.sqrt(2) * math.pi**0.25)])
def test_a_sinusoid_stands_at_its_scale_with_its_amplitude(name, gain):
    length, period, amplitude = 512, 16, 3.0
    x = amplitude * np.cos(2 * np.pi * np.arange(length) / period)
    found = wavelets.modulus(torch.from_numpy(x)[None], name)[0, :, 200:312].mean(1).numpy()
    scale = wavelets.scales(length, name)[found.argmax()]
    want = wavelets.WAVELETS[name].peak * period / (2 * math.pi)
    assert scale == pytest.approx(want, rel=2 ** (1 / 32) - 1)
    # a cosine is half a positive frequency; scales lie up to 1.1 % of gain from its own
    assert found.max() == pytest.approx(amplitude * gain / 2, rel=1.1e-2)


def test_a_constant_is_nothing_and_a_step_stands_where_it_is():
    flat = torch.full((1, 200), 3.0)
    assert wavelets.modulus(flat).abs().max() < 1e-5
    step = flat.clone()
    step[:, 140:] = 1.0
    finest = wavelets.modulus(step)[0, :20].sum(0)
    assert abs(int(finest.argmax()) - 139.5) <= 1


def test_many_signals_are_as_one_by_one():
    x = torch.from_numpy(np.stack([signal(101, seed) for seed in range(40)]))
    together = wavelets.modulus(x)
    alone = torch.cat([wavelets.modulus(row[None]) for row in x])
    torch.testing.assert_close(together, alone)
    assert wavelets.modulus(x[:0]).shape == (0, 195, 101)


def test_numbers_opposite_for_complements_make_strands_mirror_images():
    x = torch.from_numpy(signal(150)) - 2.5
    torch.testing.assert_close(
        wavelets.modulus(-x.flip(0)[None]).flip(2), wavelets.modulus(x[None]), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: wavelets.modulus(torch.zeros(1, 1)), "a signal of 1 bases has no scalogram"),
        (lambda: wavelets.modulus(torch.zeros(2, 15)), "it takes 16"),
        (lambda: wavelets.modulus(torch.zeros(20)), r"signals \(20,\): must be \(N, L\)"),
        (lambda: wavelets.scales(100, "haar"), "wavelet 'haar': must be one of morse, morlet"),
        (lambda: wavelets.scales(100, voices=0), "voices 0: must be at least 1"),
        (lambda: pictures(torch.zeros(1, 4, 5), 64), "must be uint8"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(TcnfastError, match=words):
        call()


def test_turbo_is_matplotlib_s():
    matplotlib = pytest.importorskip("matplotlib")
    want = matplotlib.colormaps["turbo"](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(np.frombuffer(TURBO, np.uint8).reshape(256, 3), want)


def test_levels_are_matplotlib_s_colours():
    matplotlib = pytest.importorskip("matplotlib")
    moduli = wavelets.modulus(torch.from_numpy(signal(92))[None])
    low, high = own_ranges(moduli)
    norm = matplotlib.colors.Normalize(float(low), float(high))
    want = matplotlib.colormaps["turbo"](norm(moduli[0].double().numpy()), bytes=True)[..., :3]
    table = np.frombuffer(TURBO, np.uint8).reshape(256, 3)
    got = table[colour_levels(moduli, low, high)[0].numpy()]
    # numbers within rounding of the border of two colours may take either
    assert (got != want).any(-1).mean() < 1e-3
    assert np.abs(got.astype(int) - want).max() <= 12


def test_levels_end_at_the_range_and_a_flat_picture_has_one_colour():
    values = torch.tensor([[[-1.0, 0.0, 0.5, 1.0, 7.0]]])
    zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    assert colour_levels(values, zero, one).flatten().tolist() == [0, 0, 128, 255, 255]
    flat = torch.full((2, 3, 4), 5.0)
    assert not colour_levels(flat, *own_ranges(flat)).any()


def test_pictures_are_resized_as_pillow_does():
    image = pytest.importorskip("PIL.Image")
    levels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 221, 200), np.uint8))
    got = pictures(levels, 96)
    assert got.dtype == torch.uint8 and got.shape == (2, 3, 96, 96)
    assert got.is_contiguous(memory_format=torch.channels_last)
    table = np.frombuffer(TURBO, np.uint8).reshape(256, 3)
    for i in range(2):
        drawn = image.fromarray(table[levels[i].numpy()])
        want = np.asarray(drawn.resize((96, 96), image.Resampling.BILINEAR)).astype(int)
        assert np.abs(got[i].permute(1, 2, 0).numpy() - want).max() <= 1


def test_standardised_pictures_are_those_of_imagenet():
    white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    got = standardised(white, PICTURE_MEAN, PICTURE_STD)[0, :, 0, 0]
    assert got.tolist() == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
