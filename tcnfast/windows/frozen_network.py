"""A wavelet network whose layers all stay as they start: a linear classifier on their features."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..genome.codes import reverse_complement
from ..genome.labels import AMBIGUOUS, BOUND
from ..model.metrics import score_labels
from .kept_features import Work, features_of
from .wavelet_network import WaveletNetwork

if TYPE_CHECKING:
    from .window_config import WindowConfig
    from .window_set import WindowSet

log = logging.getLogger(__name__)

# of a logistic regression on features of variance 1: the inverse of its penalty
STRENGTHS = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_LEAST_SPREAD = 1e-3  # standard deviation of a channel that is used, of the greatest


class FrozenWaveletNetwork(WaveletNetwork):
    """A :class:`WaveletNetwork` of which only the classifier learns, and not by gradient.

    The features of every window, one strand of it at a time, are computed once; a logistic
    regression for each label is fitted to them, brought to mean 0 and variance 1, at the strength
    of penalty whose macro-AP on the validation windows is best. Features of both strands are
    averaged, which a linear classifier turns into the mean of both logits. Batch norms use their
    averages, also where the network is ``faithful``.
    """

    def fit(
        self, train: WindowSet, valid: WindowSet, config: WindowConfig, work: Work | None = None
    ) -> tuple[np.ndarray, float]:
        """Train on ``train``, choose on ``valid``. Returns the logits of ``valid``, float32 (n,
        labels), and the processor's seconds that earlier fits spent on what ``work`` kept.

        Raises TcnfastError where a label has no bound or no unbound window.
        """
        self.start(train, config.seed)
        self.eval()
        log.info("wavelet: features of %d windows", len(train) + len(valid))
        codes = np.concatenate([train.codes, valid.codes])
        compute = partial(self.mean_features, bf16=config.precision == "bf16")
        features, earlier = features_of(compute, codes, work or Work())
        mean = features[: len(train)].mean(0, dtype=np.float64)
        spread = features[: len(train)].std(0, dtype=np.float64)
        # a channel that hardly ever says anything gets no weight, in place of an enormous one
        spread[spread <= _LEAST_SPREAD * spread.max()] = np.inf
        weight, bias, logits = self._chosen((features - mean) / spread, train, valid)
        weight = weight / spread
        self._set_head(weight, bias - weight @ mean)
        return logits, earlier

    @torch.inference_mode()
    def mean_features(self, codes: np.ndarray, bf16: bool) -> np.ndarray:
        """float32 (n, channels), the mean of the strands that the network reads."""
        strands = [codes, reverse_complement(codes)] if self.both_strands else [codes]
        place, found = self.values.device, []
        with torch.autocast(place.type, torch.bfloat16, enabled=bf16):
            for strand in strands:
                x = torch.from_numpy(np.ascontiguousarray(strand)).to(place)
                found.append(self.features(self.images(x)).float().cpu().numpy())
        return np.mean(found, 0)

    def _chosen(
        self, scaled: np.ndarray, train: WindowSet, valid: WindowSet
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (labels, channels) and biases (labels,) of the best strength, and their logits of
        ``valid``."""
        inputs, rest = scaled[: len(train)], scaled[len(train) :]
        best = -np.inf
        for strength in STRENGTHS:
            weight, bias = self._regressions(inputs, train, strength)
            logits = (rest @ weight.T + bias).astype(np.float32)
            merit = score_labels(valid.names, logits, valid.labels).macro("ap")
            if merit > best:
                best, chosen = merit, (weight, bias, logits)
                words = "wavelet: strength %g, macro-AP on the windows to choose by %.4f"
                log.info(words, strength, merit)
        return chosen

    def _regressions(
        self, inputs: np.ndarray, train: WindowSet, strength: float
    ) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.linear_model import LogisticRegression

        weights, biases = [], []
        for index, label in enumerate(self.labels):
            known = train.labels[:, index] != AMBIGUOUS
            bound = train.labels[known, index] == BOUND
            if bound.all() or not bound.any():
                raise TcnfastError(f"{train.name}: label {label} needs bound and unbound windows")
            fitted = LogisticRegression(C=strength, max_iter=1000).fit(inputs[known], bound)
            weights.append(fitted.coef_[0])
            biases.append(fitted.intercept_[0])
        return np.array(weights), np.array(biases)

    @torch.no_grad()
    def _set_head(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """The classifier whose logits are those of ``weight`` (labels, channels) and ``bias``."""
        weight, bias = torch.from_numpy(weight), torch.from_numpy(bias)
        if self.faithful:  # two numbers a label, whose difference is the logit
            weight = torch.stack([-weight / 2, weight / 2], 1).flatten(0, 1)
            bias = torch.stack([-bias / 2, bias / 2], 1).flatten()
        self.head.weight.copy_(weight)
        self.head.bias.copy_(bias)


def wavelet_network(
    labels: list[str], length: int, mapping: str = "one-hot", **shape
) -> WaveletNetwork:
    """A :class:`WaveletNetwork`, whose arguments these are; with ``trainable`` "head" one of which
    the classifier alone is fitted."""
    frozen = shape.get("trainable") == "head"
    return (FrozenWaveletNetwork if frozen else WaveletNetwork)(labels, length, mapping, **shape)
