"""Score a model on held-out regions, at the steps that a scan of the same contigs reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..base.errors import TcnfastError
from ..base.finite import check_scores
from ..data.dataset import Dataset
from ..engines.plan import Plan
from ..engines.segments import segment_length
from ..genome.cpg import in_cpg_islands
from ..genome.genome import Region
from ..model.metrics import LabelScores, score_labels
from .assessment import Windows
from .bootstrap import block_ids


def region_logits(
    plan: Plan, dataset: Dataset, region: Region, centres: np.ndarray
) -> Iterator[np.ndarray]:
    """Logits (steps, labels) float32 of consecutive steps of a region, segment by segment."""
    half = plan.receptive_field // 2
    steps = max(1, segment_length(plan) // plan.stride)
    for start in range(0, len(centres), steps):
        part = centres[start : start + steps]
        codes = dataset.genome.codes(region.chrom, part[0] - half, part[-1] + half + 1)
        logits = plan(codes).cpu()
        check_scores(logits, f"the model at {region.chrom}:{part[0] + 1}-{part[-1] + 1}")
        yield logits.numpy()


def predict(
    plan: Plan,
    dataset: Dataset,
    regions: list[Region],
    receptive_field: int | None = None,
    known: Iterable[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (n, labels) and targets uint8 (n, labels) of every step of the regions.

    ``receptive_field``: bases around a centre that must lie inside a region, the plan's if None;
    plans that are to be compared take the wider of the two. ``known``: the logits, a few steps
    after the other, where they were computed before.
    """
    reach = receptive_field or plan.receptive_field
    logits, targets = [] if known is None else list(known), []
    for region in regions:
        centres, labels = dataset.scored_bins(region, reach, plan.stride)
        if known is None:
            logits.extend(region_logits(plan, dataset, region, centres))
        targets.append(labels)
    if not logits:
        words = ", ".join(f"{r.chrom}:{r.start + 1}-{r.end}" for r in regions) or "none given"
        raise TcnfastError(f"regions ({words}): none holds a window of {reach} bases")
    return np.concatenate(logits), np.concatenate(targets)


def describe_windows(
    dataset: Dataset,
    regions: list[Region],
    targets: np.ndarray,
    receptive_field: int,
    stride: int,
) -> Windows:
    """``targets`` of :func:`predict` with where they lie: megabase blocks, CpG islands."""
    centres = [dataset.centres(region, receptive_field, stride) for region in regions]
    island = [
        in_cpg_islands(dataset.genome.codes(*region))[part - region.start]
        for region, part in zip(regions, centres, strict=True)
    ]
    block = block_ids([region.chrom for region in regions], centres)
    return Windows(list(dataset.labels), targets, block, np.concatenate(island))


def evaluate(plan: Plan, dataset: Dataset, regions: list[Region]) -> LabelScores:
    """AP, AUROC, positives and chance of every label of the plan on the regions."""
    return score_labels(plan.labels, *predict(plan, dataset, regions))
