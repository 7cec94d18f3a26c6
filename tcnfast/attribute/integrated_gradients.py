"""Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365), and the gradient alone.

The mean gradient G of a logit along the straight path from a baseline b to the sequence x gives
every place the share sum_c (x_c - b_c) G_c of the difference of the two logits. Of a base that is
not there, the hypothetical share is what that formula says with it in place of x: G_c - b . G.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..engines.gradients import input_gradient, path_gradient
from ..genome import codes as bases
from ..genome.codes import N
from ..genome.shuffle import dinucleotide_shuffles
from . import BASELINES
from .attributions import projected
from .explained import Explained
from .networks import Networks, one_hot


def integrated_gradients(
    networks: Networks,
    codes: np.ndarray,
    labels: list[int],
    *,
    baseline: str = "zeros",
    steps: int = 50,
    shuffles: int = 10,
    seed: int = 0,
) -> list[Explained]:
    """Integrated gradients of logits over uint8 windows (n, RF), for each label; their forward
    passes are shared.

    ``baseline``, ``shuffles``, ``seed``: see :func:`baselines`; over several, the
    attributions are averaged, and the gap is against the mean of their logits. ``steps``: points of
    the path, Gauss-Legendre, as captum has it.
    """
    x = one_hot(networks.codes(codes))
    starts = torch.from_numpy(baselines(codes, baseline, shuffles, seed)).to(x.device)
    n, count = starts.shape[:2]
    start, end = starts.flatten(0, 1), x.repeat_interleave(count, 0)
    gradients = _path_gradient(networks, start, end, labels, path_points(steps))
    logits, from_logits = networks.logits(x), networks.logits(start).unflatten(0, (n, count))
    gained = logits - from_logits.mean(1)
    found = []
    for label, gradient in zip(labels, gradients, strict=True):
        shares = gradient - (start * gradient).sum(1, keepdim=True)
        hypothetical = shares.unflatten(0, (n, count)).mean(1).cpu().numpy()
        total = projected(hypothetical, codes).sum(1, dtype=np.float64)
        gap = (gained[:, label].cpu().numpy() - total).astype(np.float32)
        found.append(Explained(hypothetical, logits[:, label].cpu().numpy(), gap))
    return found


def baselines(codes: np.ndarray, kind: str, shuffles: int = 10, seed: int = 0) -> np.ndarray:
    """Baselines of uint8 codes (n, L): float32 (n, B, 4, L); attributions are averaged over the B.

    ``kind``: "zeros", no base anywhere (B = 1); "gc", at every place the four bases in the shares
    that the window's GC content gives (B = 1); "shuffles": ``shuffles`` dinucleotide-preserving
    shuffles of the window (B = shuffles), the same ones wherever the same window turns up. An N
    stays an N: its column is zero at both ends of a path, and it gets no attribution.
    """
    known = (codes < N)[:, None, None]
    if kind == "zeros":
        return np.zeros((len(codes), 1, 4, codes.shape[1]), np.float32)
    if kind == "gc":
        gc = ((codes == 1) | (codes == 2)).sum(1) / np.maximum(1, (codes < N).sum(1))
        shares = np.stack([1 - gc, gc, gc, 1 - gc], 1) / 2
        return (shares[:, None, :, None] * known).astype(np.float32)
    if kind != "shuffles":
        raise TcnfastError(f"baseline {kind!r}: must be one of {', '.join(BASELINES)}")
    return np.stack([_shuffles(window, shuffles, seed) for window in codes]) * known


def _shuffles(window: np.ndarray, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, zlib.crc32(window.tobytes())))
    return bases.one_hot(dinucleotide_shuffles(np.tile(window, (count, 1)), rng))


def corrected_gradient(networks: Networks, codes: np.ndarray, label: int) -> Explained:
    """Gradient of one label's logit over uint8 windows (n, RF), less its mean over the four bases
    of each place: no sequence leaves the simplex, so what points off it is noise (Majdandzic,
    Rajesh and Koo 2023, doi 10.1186/s13059-023-02956-3)."""
    x = networks.codes(codes)
    here = one_hot(x)
    if networks.paths is None and networks.precision:
        gradient = _operators_gradient(networks, x, label)
    else:
        gradient = _path_gradient(networks, here, here, [label], [(0.0, 1.0)])[0]
    hypothetical = (gradient - gradient.mean(1, keepdim=True)).cpu().numpy()
    logit = networks.logits(here)[:, label].cpu().numpy()
    return Explained(hypothetical, logit, np.full(len(codes), np.nan, np.float32))


def path_points(steps: int) -> list[tuple[float, float]]:
    """Gauss-Legendre nodes on (0, 1) and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return list(zip(((1 + nodes) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _path_gradient(
    networks: Networks, start: Tensor, end: Tensor, labels: list[int], points: list
) -> Tensor:
    """float32 (labels, N, 4, L): means over the networks."""
    dlogits = torch.eye(len(networks.labels), device=start.device)[labels]
    total = torch.zeros(len(labels), *start.shape, device=start.device)
    for i, (weights, grid, count) in enumerate(networks.runs):
        if networks.paths:
            of_run = networks.paths[i].gradients(start, end, dlogits, points)
        else:
            of_run = path_gradient(weights, grid, start, end, dlogits, points, networks.precision)
        total += count * of_run
    return total / networks.total


def _operators_gradient(networks: Networks, codes: Tensor, label: int) -> Tensor:
    """float32 (N, 4, L), of uint8 codes (N, L): means over the networks."""
    dlogits = torch.zeros(len(codes), 1, len(networks.labels), device=codes.device)
    dlogits[:, :, label] = 1
    total = 0
    for weights, grid, count in networks.runs:
        of_run = input_gradient(weights, grid, codes, dlogits, networks.precision)
        total = total + count * of_run
    return total / networks.total
