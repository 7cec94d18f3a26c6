"""What training minimises: losses of single labels, of teachers, and of the two strands of a tile.

bce: binary cross-entropy.
focal: Lin, Goyal, Girshick, He and Dollár 2017, "Focal loss for dense object detection"
(arXiv 1708.02002): the loss of a label times (1 - probability of its truth)^gamma.
asymmetric: Ridnik et al. 2021, "Asymmetric loss for multi-label classification" (arXiv 2009.14119):
exponents of their own for bound and unbound labels, and ``margin`` taken off the probability of
unbound ones, so that easy ones count nothing.

Each is written for a soft target y, as the mixture of both cases: y times the loss of a bound
label and 1 - y times that of an unbound one. Focusing weights take part in the gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines.ranks import ALONE, Ranks
from ..genome.label_values import AMBIGUOUS, BOUND
from .train_config import TrainConfig

# the values that the papers found best
GAMMA = 2.0
GAMMA_POSITIVE, GAMMA_NEGATIVE, MARGIN = 0.0, 4.0, 0.05
TEACHER_SHARE, TEMPERATURE = 0.5, 1.0


def masked_bce(
    logits: Tensor, targets: Tensor, cover: Tensor | None = None, positive_weight: float = 1.0
) -> Tensor:
    """Mean binary cross-entropy of logits (N, labels, P) over the labels (N, P, labels), uint8,
    that are not ambiguous. ``cover`` (N, P, labels) float: targets of bound labels, 1 if None."""
    truth, known = _truth(targets, cover, logits.dtype)
    more = None if positive_weight == 1 else logits.new_tensor(positive_weight)
    loss = F.binary_cross_entropy_with_logits(
        logits, truth, weight=known, reduction="sum", pos_weight=more
    )
    return loss / known.sum().clamp_min(1)


def masked_asymmetric(
    logits: Tensor,
    targets: Tensor,
    cover: Tensor | None = None,
    positive_weight: float = 1.0,
    gamma_positive: float = GAMMA_POSITIVE,
    gamma_negative: float = GAMMA_NEGATIVE,
    margin: float = MARGIN,
) -> Tensor:
    """Mean asymmetric loss; shapes as in :func:`masked_bce`. Focal loss is that of two equal
    exponents and no margin."""
    truth, known = _truth(targets, cover, logits.dtype)
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    bound = -truth * log_p
    unbound = truth - 1
    if gamma_positive:
        bound = bound * torch.exp(gamma_positive * log_q)
    if margin:
        shifted = (log_p.exp() - margin).clamp_min(0)
        unbound = unbound * torch.log1p(-shifted)
        if gamma_negative:
            unbound = unbound * _power(shifted, gamma_negative)
    else:
        unbound = unbound * log_q
        if gamma_negative:
            unbound = unbound * torch.exp(gamma_negative * log_p)
    loss = (positive_weight * bound + unbound) * known
    return loss.sum() / known.sum().clamp_min(1)


def batch_loss(
    logits: Tensor,
    targets: Tensor,
    cover: Tensor | None,
    config: TrainConfig,
    taught: Tensor | None = None,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Loss of a batch's logits (N, labels, P), float32, as ``config`` has it.

    Unless ``config.strands`` is "one", row N/2 + i is the other strand of row i: its score of a
    base is at the mirrored position. All windows take part in ``strand_loss``, ambiguous ones too:
    that strands agree needs no label. ``taught``: logits of teachers, float32 (N, P, labels). Where
    processes share the batch, the share of this one's rows in the loss, which is the sum of all.
    """
    if config.strands == "one":
        return _lesson_loss(logits, targets, cover, taught, config, ranks)
    half = len(logits) // 2
    plus, minus = logits[:half], logits[half:].flip(-1)
    if config.strands == "mean":
        lesson = (None if x is None else x[:half] for x in (targets, cover, taught))
        loss = _lesson_loss((plus + minus) / 2, *lesson, config, ranks)
    else:
        loss = _lesson_loss(logits, targets, cover, taught, config, ranks)
    if config.strand_loss:
        apart = (plus - minus).square().mean()
        loss = loss + config.strand_loss / ranks.count * apart
    return loss


def _lesson_loss(
    logits: Tensor,
    targets: Tensor,
    cover: Tensor | None,
    taught: Tensor | None,
    config: TrainConfig,
    ranks: Ranks,
) -> Tensor:
    """Loss of labels and of teachers, the mean over all labels of all windows. Where a label is
    known, the teachers have ``teacher_share`` of the weight; where it is ambiguous, all of it.

    Teachers' probabilities at a temperature T are learned by the student's at T; the factor T^2
    keeps gradients alike (Hinton, Vinyals and Dean 2015).
    """
    if taught is None:
        loss = _label_loss(logits, targets, cover, config)
        return loss if ranks.count == 1 else loss * _share_of_known(targets, ranks)
    share = _given(config.teacher_share, TEACHER_SHARE)
    temperature = _given(config.temperature, TEMPERATURE)
    known = (targets != AMBIGUOUS).transpose(1, 2).to(logits.dtype)
    soft = torch.sigmoid(taught.transpose(1, 2) / temperature)
    learned = F.binary_cross_entropy_with_logits(
        logits / temperature, soft, weight=1 - (1 - share) * known, reduction="sum"
    )
    labelled = _label_loss(logits, targets, cover, config) * known.sum()
    return ((1 - share) * labelled + temperature**2 * learned) / (known.numel() * ranks.count)


def _share_of_known(targets: Tensor, ranks: Ranks) -> Tensor:
    """Of all labels that are known, the share that this process has."""
    known = (targets != AMBIGUOUS).sum()
    return known / ranks.total(known).clamp_min(1)


def _label_loss(
    logits: Tensor, targets: Tensor, cover: Tensor | None, config: TrainConfig
) -> Tensor:
    weight = config.positive_weight
    if config.loss == "bce":
        return masked_bce(logits, targets, cover, weight)
    if config.loss == "focal":
        gamma = _given(config.gamma, GAMMA)
        return masked_asymmetric(logits, targets, cover, weight, gamma, gamma, 0.0)
    return masked_asymmetric(
        logits,
        targets,
        cover,
        weight,
        _given(config.gamma_positive, GAMMA_POSITIVE),
        _given(config.gamma_negative, GAMMA_NEGATIVE),
        _given(config.margin, MARGIN),
    )


def _truth(targets: Tensor, cover: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Targets within 0 and 1, and 1 where they are known, both (N, labels, P)."""
    targets = targets.transpose(1, 2)
    known = (targets != AMBIGUOUS).to(dtype)
    truth = (targets == BOUND).to(dtype)
    return truth if cover is None else truth * cover.transpose(1, 2).to(dtype), known


def _power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent for x >= 0, whose gradient at 0 is 0 for exponents under 1 too."""
    tiny = torch.finfo(x.dtype).tiny
    return torch.where(x > 0, x.clamp_min(tiny) ** exponent, 0)


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
