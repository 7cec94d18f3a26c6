"""What a method of attribution says of some windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Explained(NamedTuple):
    """Windows of one label: ``hypothetical`` float32 (n, 4, L), ``logit`` float32 (n,), ``gap``
    float32 (n,): what the attributions are short of, as a sum, in logits; NaN where their method
    promises no sum."""

    hypothetical: np.ndarray
    logit: np.ndarray
    gap: np.ndarray
