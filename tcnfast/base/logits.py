"""Logits and probabilities."""

from __future__ import annotations

import numpy as np


def probability(logit: np.ndarray) -> np.ndarray:
    """Logistic function, float64, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, np.float64)))


def logit(probability: np.ndarray) -> np.ndarray:
    """Inverse of :func:`probability`, float64: -inf at 0, inf at 1."""
    probability = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore"):
        return np.log(probability) - np.log1p(-probability)
