"""The files of a label beside its arrays: a bigWig with a value for each base, and seqlets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..base.disk import write_text
from ..base.extras import install
from ..genome.codes import N
from ..scan.track_bigwig import header_sizes, most_bytes_of_bases, whole_bigwig
from .attributions import Attributions, projected

SEQLET_WINDOWS = 5_000  # windows that seqlets are called in together
SEQLET_THRESHOLD = 0.01  # of tangermeme's recursive caller, its own default


def write_bigwig(path: Path, attributions: Attributions, sizes: Mapping[str, int]) -> None:
    """Write one value for each base of the windows: what it adds to the logit. Where windows
    overlap, their mean; no value at N and beyond a contig. Genome browsers draw it as letters
    ("dynseq")."""
    room = most_bytes_of_bases(attributions.codes.size, len(attributions.codes), sizes)
    with whole_bigwig(str(path), room) as bigwig:
        sizes = header_sizes(sizes)
        bigwig.addHeader(list(sizes.items()))
        for chrom in sizes:
            for start, values in _stretches(attributions, chrom, sizes[chrom]):
                known = np.flatnonzero(~np.isnan(values))
                breaks = np.flatnonzero(np.diff(known) > 1) + 1
                for run in np.split(known, breaks):
                    if len(run):
                        bigwig.addEntries(
                            chrom, int(start + run[0]), values=values[run], span=1, step=1
                        )


def _stretches(
    attributions: Attributions, chrom: str, size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """First base and values, float32 with NaN for none, of the stretches that windows cover."""
    rows = np.flatnonzero(attributions.chrom == chrom)
    rows = rows[np.argsort(attributions.start[rows], kind="stable")]
    starts = attributions.start[rows]
    breaks = np.flatnonzero(np.diff(starts) > attributions.width) + 1
    for part in np.split(rows, breaks) if len(rows) else []:
        first = int(attributions.start[part[0]])
        length = int(attributions.start[part[-1]]) + attributions.width - first
        total, count = np.zeros(length), np.zeros(length, np.int64)
        for row in part:
            at = int(attributions.start[row]) - first
            codes = attributions.codes[row : row + 1]
            inside = slice(at, at + attributions.width)
            total[inside] += projected(attributions.hypothetical[row : row + 1], codes)[0]
            count[inside] += codes[0] < N
        values = np.full(length, np.nan, np.float32)
        np.divide(total, count, out=values, where=count > 0, casting="same_kind")
        keep = slice(max(0, -first), max(0, size - first))
        yield max(0, first), values[keep]


def write_seqlets(path: Path, attributions: Attributions) -> int:
    """Write seqlets, stretches that raise or lower the logit more than the rest, as BED: chrom,
    start, end, the label, the sum of their attributions, and a dot; sorted, each once. Returns
    their number. They are called by tangermeme's recursive caller, for both signs.
    """
    import torch
    from tangermeme.seqlet import recursive_seqlets

    found: dict[tuple[str, int, int], float] = {}
    for at in range(0, len(attributions), SEQLET_WINDOWS):
        part = slice(at, at + SEQLET_WINDOWS)
        values = projected(attributions.hypothetical[part], attributions.codes[part])
        for sign in (1, -1):
            if not (sign * values > 0).any():
                continue
            seqlets = recursive_seqlets(torch.from_numpy(sign * values), SEQLET_THRESHOLD)
            columns = ("example_idx", "start", "end", "attribution")
            for row, start, end, total in zip(*(seqlets[name] for name in columns), strict=True):
                first = int(attributions.start[at + row])
                place = str(attributions.chrom[at + row]), first + int(start), first + int(end)
                found.setdefault(place, sign * float(total))
    lines = [
        f"{chrom}\t{start}\t{end}\t{attributions.label}\t{total:.4g}\t.\n"
        for (chrom, start, end), total in sorted(found.items())
    ]
    write_text(path, "".join(lines))
    return len(lines)


def why_no_seqlets() -> str | None:
    """Why seqlets cannot be called here; None if they can."""
    from importlib.util import find_spec

    if find_spec("tangermeme") is None:
        return f"seqlets need tangermeme: {install('motifs')}"
    return None
