"""A position weight matrix for each label, learned from windows by gradient: no motif finder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import TcnfastError
from ..base.jit import place_torch_cache
from ..genome.codes import N
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from ..pwm.learned_matrices import best_sums
from ..pwm.log_odds import UNIFORM
from ..pwm.meme import Motif
from .baseline_network import set_rates
from .motif_start import WORD, enriched_words, start_matrix

if TYPE_CHECKING:
    from .window_set import WindowSet

# the optimiser steps by about its learning rate whatever the gradient, and one that suits the
# networks would hardly move log-odds: weights are kept in units of this many
_GAIN = 10.0
_SEEDS = 4  # starts that are tried for each label
_TRIED_ON = 4000  # windows of either kind that words are counted in
_STEPS, _BATCH, _RATE = 150, 256, 1e-2  # of a trial


class PWMNetwork(nn.Module):
    """Codes (N, length) -> logits (N, labels): the best placement of one matrix of ``width``
    columns a label, on either strand, plus a bias.

    The weights are log-odds in natural units, so that the logit is that of the best site being one
    of the motif. A placement with N is none; a window that has only such scores the lowest sum
    of the matrix. ``start`` finds where to begin; without it the matrices are random and mostly
    stay so. Raises TcnfastError for windows shorter than the matrix, and mappings but one-hot.
    """

    both_strands = False  # it reads both itself

    def __init__(
        self, labels: list[str], length: int, mapping: str = "one-hot", *, width: int = 19
    ) -> None:
        super().__init__()
        if width < WORD:
            raise TcnfastError(
                f"width {width}: must be at least {WORD}, the length of a first word"
            )
        check_windows(length, width, mapping)
        self.labels, self.width = list(labels), width
        self.weight = nn.Parameter(torch.randn(len(labels), 4, width) / _GAIN)
        self.bias = nn.Parameter(torch.zeros(len(labels)))
        self.register_buffer("background", torch.tensor(UNIFORM).repeat(len(labels), 1))

    def forward(self, codes: Tensor) -> Tensor:
        return best_sums(codes, _GAIN * self.weight) + self.bias

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        """Bias at the log-odds of ``rates`` (labels,); :meth:`start` then finds a better one."""
        set_rates(self.bias, rates)

    def start(self, train: WindowSet, seed: int) -> None:
        """Begin where words are that bound windows hold more often than unbound ones.

        Several are tried for each label, every one trained for a moment, and the one with the
        lowest loss on the training windows is kept. A label without such words begins at random.
        """
        starts = []
        for index, labels in enumerate(train.labels.T):
            found, background = _starts(train.codes, labels, self.width, seed)
            starts += [(index, start) for start in found]
            self.background[index] = torch.from_numpy(background)
        if not starts:
            return
        owners = np.array([index for index, _ in starts])
        tried, losses = _trial(train, owners, np.stack([start for _, start in starts]), seed)
        with torch.no_grad():
            for index in np.unique(owners):
                best = int(np.where(owners == index, losses, np.inf).argmin())
                self.weight[index] = tried.weight[best].to(self.weight.device)
                self.bias[index] = tried.bias[best].to(self.bias.device)

    def to_motif(self, label: str) -> Motif:
        """The matrix of ``label`` as base probabilities: those whose log-odds over the background
        of its training windows are the weights."""
        if label not in self.labels:
            raise TcnfastError(f"label {label!r}: must be one of {', '.join(self.labels)}")
        index = self.labels.index(label)
        weight = _GAIN * self.weight[index].detach().double().cpu()
        logs = weight + self.background[index].double().cpu().log()[:, None]
        return Motif(label, label, logs.softmax(0).T.numpy())


def check_windows(length: int, width: int, mapping: str) -> None:
    if mapping != "one-hot":
        raise TcnfastError(f"mapping {mapping!r}: a matrix reads bases, so it must be one-hot")
    if length < width:
        raise TcnfastError(f"a motif of {width} bp does not fit into windows of {length} bp")


def composition(codes: np.ndarray) -> np.ndarray:
    """Shares of ACGT in codes of any shape and their reverse complements: float64 (4,)."""
    counts = np.bincount(codes.ravel(), minlength=N + 1)[:N] + 1.0
    return (counts + counts[::-1]) / (2 * counts.sum())


def _starts(
    codes: np.ndarray, labels: np.ndarray, width: int, seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Log-odds (4, width) to try for one label, and the background (4,) that they are over."""
    rng = np.random.default_rng([seed, 3])
    rows = [rng.permutation(np.flatnonzero(labels == kind)) for kind in (BOUND, UNBOUND)]
    bound, unbound = (codes[some[:_TRIED_ON]] for some in rows)
    background = composition(np.concatenate([bound, unbound]))
    words = enriched_words(bound, unbound, width, _SEEDS)
    matrices = [start_matrix(bound, word, width, background) for word in words]
    return [np.log(matrix / background).T for matrix in matrices], background


def _trial(
    train: WindowSet, owners: np.ndarray, starts: np.ndarray, seed: int
) -> tuple[PWMNetwork, np.ndarray]:
    """All starts (n, 4, width) as one network, trained for a moment, and the loss of each, (n,);
    ``owners`` (n,) says which label each is for."""
    network = PWMNetwork([str(i) for i in owners], train.length, width=starts.shape[2])
    rng = np.random.default_rng([seed, 4])
    sample = rng.permutation(len(train))[: 2 * _TRIED_ON]
    codes, labels = torch.from_numpy(train.codes), torch.from_numpy(train.labels[:, owners])
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(starts) / _GAIN)
        # half way between the sites of bound and of unbound windows, more or less
        network.bias.copy_(-network(codes[sample]).mean(0))
    place_torch_cache()
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    for _ in range(_STEPS):
        rows = rng.integers(0, len(train), _BATCH)
        optimiser.zero_grad()
        _losses(network(codes[rows]), labels[rows]).sum().backward()
        optimiser.step()
    with torch.no_grad():
        return network, _losses(network(codes[sample]), labels[sample]).numpy()


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each column of logits (n, m), ambiguous windows left out: (m,)."""
    known = labels != AMBIGUOUS
    loss = F.binary_cross_entropy_with_logits(logits, (labels == BOUND).float(), reduction="none")
    return (loss * known).sum(0) / known.sum(0).clamp_min(1)
