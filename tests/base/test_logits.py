"""Logits and probabilities."""

import numpy as np

from tcnfast.base.logits import logit, probability


def test_probability_is_the_logistic_function_without_overflow():
    logits = np.float32([-1e30, -200, -30, -1, 0, 0.5, 30, 200, 1e30, np.inf, -np.inf])
    with np.errstate(over="ignore"):
        want = 1 / (1 + np.exp(-logits.astype(np.float64)))
        np.testing.assert_allclose(probability(logits), want, rtol=1e-9, atol=1e-12)
    assert np.isnan(probability(np.nan))


def test_logit_is_its_inverse():
    p = np.array([1e-9, 0.01, 0.5, 0.99])
    np.testing.assert_allclose(probability(logit(p)), p, rtol=1e-6)
    assert logit(0) == -np.inf and logit(1) == np.inf
