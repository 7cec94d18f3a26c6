"""Attributions and motifs in the files that other programs take: modisco, finemo and tangermeme.

``<label>.sequences.npz`` and ``<label>.attributions.npz`` (array arr_0, (n, 4, L)) are what
``modisco motifs -s -a`` and ``finemo extract-regions-modisco-fmt`` read, and tangermeme takes as
tensors; ``<label>.narrowPeak`` has the place of each window for them. ``<label>.regions.npz`` is
what ``finemo call-hits -r`` reads; ``<label>.modisco.h5``, with ``-m``, and ``modisco report -i``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..attribute.attributions import Attributions
from ..base.disk import save_arrays, write_text, writing
from ..base.errors import TcnfastError
from ..base.extras import install
from .patterns import Pattern, PatternSet

GROUPS = {"pos": "pos_patterns", "neg": "neg_patterns"}


def write_windows(folder: Path, name: str, made: Attributions) -> None:
    """Write the windows of a label: sequences int8, attributions float16, contributions of every
    base at every place, and where each window lies."""
    sequences = np.ascontiguousarray(np.eye(5, 4, dtype=np.int8)[made.codes].transpose(0, 2, 1))
    values = made.hypothetical.astype(np.float16)
    save_arrays(folder / f"{name}.sequences.npz", {"arr_0": sequences})
    save_arrays(folder / f"{name}.attributions.npz", {"arr_0": values})
    chroms = np.asarray(made.chrom, np.str_)
    order = {chrom: index for index, chrom in enumerate(dict.fromkeys(chroms.tolist()))}
    names = [f"{made.label}.{row}" for row in range(len(made))]
    regions = {
        "sequences": sequences,
        "contributions": values,
        "chr": chroms,
        "chr_id": np.array([order[chrom] for chrom in chroms.tolist()], np.uint32),
        "start": made.start.astype(np.int32),
        "peak_id": np.arange(len(made), dtype=np.uint32),
        "peak_name": np.array(names, np.str_),
    }
    save_arrays(folder / f"{name}.regions.npz", regions)
    lines = []
    places = zip(chroms.tolist(), made.centre.tolist(), names, strict=True)
    for chrom, centre, peak in places:
        lines.append(f"{chrom}\t{centre}\t{centre + 1}\t{peak}\t0\t.\t0\t-1\t-1\t0\n")
    write_text(folder / f"{name}.narrowPeak", "".join(lines))


def write_patterns(path: Path, found: PatternSet, window: int) -> None:
    """Write motifs as modisco-lite writes them: for each the shares of bases, contributions and
    hypothetical contributions (width, 4), and its seqlets by window and first base in the middle
    ``window`` bases of it. Raises TcnfastError where h5py is not installed."""
    try:
        import h5py
    except ImportError:
        raise TcnfastError(f"modisco's files need h5py: {install('motifs')}") from None
    with writing(path), h5py.File(path, "w") as file:
        file.attrs["window_size"] = window
        for sign, title in GROUPS.items():
            patterns = [pattern for pattern in found.patterns if pattern.sign == sign]
            if patterns:
                _write_group(file.create_group(title), patterns, window)


def _write_group(group, patterns: Iterable[Pattern], window: int) -> None:
    for number, pattern in enumerate(patterns):
        one = group.create_group(f"pattern_{number}")
        one.create_dataset("sequence", data=pattern.frequencies)
        one.create_dataset("contrib_scores", data=pattern.contributions)
        one.create_dataset("hypothetical_contribs", data=pattern.hypothetical)
        start = seqlet_starts(pattern, window)
        seqlets = one.create_group("seqlets")
        seqlets.create_dataset("n_seqlets", data=np.array([len(pattern)]))
        seqlets.create_dataset("start", data=start)
        seqlets.create_dataset("end", data=start + pattern.width)
        seqlets.create_dataset("example_idx", data=pattern.window)
        seqlets.create_dataset("is_revcomp", data=pattern.reverse)


def seqlet_starts(pattern: Pattern, window: int) -> np.ndarray:
    """First base of each seqlet within the middle ``window`` bases of its window, int64 (n,)."""
    core = pattern.core
    middle = (core.start + core.stop) // 2
    inside = np.where(pattern.reverse, pattern.width - middle, middle)
    return pattern.distance - inside + window // 2
