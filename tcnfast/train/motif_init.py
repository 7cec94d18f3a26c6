"""Start the filters of the first convolution at known motifs.

A rare factor with a long motif (REST: 21 bp, a few hundred peaks) may never be found by random
filters in a training of any bearable length. Filters that begin as motifs, here those named for the
factors of the labels, are trained like all others (DanQ-JASPAR: Quang and Xie 2016, Nucleic Acids
Research 44:e107).
"""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import torch

from ..model.paired import set_parameter
from ..model.tcn import TCN
from ..pwm.log_odds import log_odds
from ..pwm.meme import Motif
from ..pwm.similarity import resemblance

MAX_SHARE = 0.75  # of the filters: the others stay random
# standard deviations of a filter's response to random DNA. Not searched; with 0, filters that start
# at motifs trained no faster than random ones (encode-v1, validation)
FIRES_AT = 3.0
SAME = 0.9  # correlation of two filters, at their best offset, from which one is enough


def set_motif_filters(model: TCN, motifs: list[Motif]) -> list[str]:
    """Overwrite filters of the first convolution with motifs named for the labels' factors.

    Each factor's motifs are used on both strands, unless they resemble a filter that is already
    set. Of a motif wider than the kernel the most informative stretch is used. Filters get the mean
    norm of random ones. Every first filter gets a bias with which it fires ``FIRES_AT`` above its
    mean response: one that fires at half of all positions adds up to noise over a window. In a
    symmetric network each motif takes a pair, filter c and its reverse complement C-1-c. Returns
    the ids of the motifs used.
    """
    convolution = model.blocks[0].conv1
    n_filters, _, width = convolution.weight.shape
    norm = convolution.weight.flatten(1).norm(dim=1).mean().item()
    filters: list[np.ndarray] = []
    used: list[str] = []
    pairs = model.config.symmetric
    most = MAX_SHARE * (n_filters // 2 if pairs else n_filters)
    for motif in _named_motifs(model.labels, motifs):
        plus = _kernel(motif, width)
        for kernel in (plus,) if pairs else (plus, plus[::-1, ::-1]):
            alike = (resemblance(kernel, other, both_strands=pairs) for other in filters)
            if len(filters) < most and all(value < SAME for value in alike):
                filters.append(kernel)
                used.append(motif.id)
    weight = convolution.weight.detach().clone()
    for index, kernel in enumerate(filters):
        weight[index] = torch.from_numpy(norm * kernel.T.copy()).to(weight)
    set_parameter(convolution, "weight", weight)
    if model.config.norm == "weight":
        # columns of sum zero: the variance over random bases is a quarter of the squared norm
        fires = torch.full_like(convolution.bias, -FIRES_AT * norm / 2)
        set_parameter(convolution, "bias", fires)
    else:
        norm1 = model.blocks[0].norm1
        set_parameter(norm1, "bias", -FIRES_AT * norm1.weight)
    return list(dict.fromkeys(used))


def _named_motifs(labels: list[str], motifs: list[Motif]) -> list[Motif]:
    """The first motif of each factor, then the second of each, and so on: factors with most labels
    first, and of a factor its own motifs before those of its dimers."""
    factors = [label.partition("@")[0] for label in labels]
    ranked = sorted(set(factors), key=lambda factor: (-factors.count(factor), factor))
    named = [[motif for motif in motifs if motif.is_named(factor)] for factor in ranked]
    rounds = zip_longest(*(sorted(own, key=lambda motif: "::" in motif.name) for own in named))
    chosen = {motif.id: motif for turn in rounds for motif in turn if motif is not None}
    return list(chosen.values())


def _kernel(motif: Motif, width: int) -> np.ndarray:
    """(width, 4) log-odds, every column of sum zero, centred or cropped, of norm 1."""
    matrix = log_odds(motif).astype(np.float64)
    matrix -= matrix.mean(1, keepdims=True)
    information = (matrix**2).sum(1)
    if len(matrix) > width:
        sums = np.convolve(information, np.ones(width), "valid")
        matrix = matrix[sums.argmax() :][:width]
    kernel = np.zeros((width, 4))
    left = (width - len(matrix)) // 2
    kernel[left : left + len(matrix)] = matrix
    return kernel / np.linalg.norm(kernel)
