"""The report of a window set: its size by part and kind, its labels, their pairs, GC by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..base.disk import write_text
from ..base.tables import write_frame
from ..base.talk import count
from ..data.data_report import LABELS, TOGETHER, overlapping_pairs, write_matrix
from ..genome.codes import N
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from .window_set import KINDS, PARTS, WindowSet

SIZES = "report.sizes.tsv"
TEXT = "report.txt"
_SHOWN = 40  # labels in the text


def gc_shares(codes: np.ndarray) -> np.ndarray:
    """G and C among the known bases of each row, float64 (n,); NaN where none is known."""
    known = (codes < N).sum(1)
    gc = ((codes == 1) | (codes == 2)).sum(1)
    return np.divide(gc, known, out=np.full(len(codes), np.nan), where=known > 0)


def size_rows(windows: WindowSet, gc: np.ndarray) -> list[dict]:
    """Windows of each part and kind, and the mean and spread of their GC."""
    rows = []
    for i, part in enumerate(PARTS):
        for j, kind in enumerate(KINDS):
            here = gc[(windows.part == i) & (windows.kind == j)]
            if here.size:
                mean, spread = float(np.nanmean(here)), float(np.nanstd(here))
                rows.append(
                    {"part": part, "kind": kind, "windows": here.size, "gc": mean, "gc_sd": spread}
                )
    return rows


def label_rows(windows: WindowSet, gc: np.ndarray) -> list[dict]:
    """Each label's bound and ambiguous windows, its density (bound of those that are not
    ambiguous) by part, and the mean GC of its classes."""
    rows = []
    for column, name in enumerate(windows.names):
        values, row = windows.labels[:, column], {"label": name}
        for i, part in enumerate(PARTS):
            here = values[windows.part == i]
            bound, ambiguous = int((here == BOUND).sum()), int((here == AMBIGUOUS).sum())
            scored = here.size - ambiguous
            row |= {f"{part}_bound": bound, f"{part}_ambiguous": ambiguous}
            row[f"{part}_density"] = bound / scored if scored else float("nan")
        for kind, word in ((BOUND, "bound"), (UNBOUND, "unbound")):
            here = gc[values == kind]
            row[f"gc_{word}"] = float(np.nanmean(here)) if here.size else float("nan")
        rows.append(row)
    return rows


def together(windows: WindowSet) -> np.ndarray:
    """Windows where both of two labels are bound, int64 (labels, labels)."""
    bound = (windows.labels == BOUND).astype(np.float64)
    return np.rint(bound.T @ bound).astype(np.int64)


def write_report(folder: Path, windows: WindowSet, notes: list[str]) -> str:
    """Write the tables and the text beside a window set; returns the text."""
    gc = gc_shares(windows.codes)
    sizes, labels, both = size_rows(windows, gc), label_rows(windows, gc), together(windows)
    write_frame(folder / SIZES, pd.DataFrame(sizes))
    write_frame(folder / LABELS, pd.DataFrame(labels))
    write_matrix(folder / TOGETHER, windows.names, both)
    text = "\n".join(_lines(windows, sizes, labels, both, notes)) + "\n"
    write_text(folder / TEXT, text)
    return text


def _lines(
    windows: WindowSet, sizes: list[dict], labels: list[dict], both: np.ndarray, notes: list[str]
) -> list[str]:
    known = windows.labels != AMBIGUOUS
    density = (windows.labels == BOUND).sum() / max(1, known.sum())
    lines = [
        f"{windows.name}: {count(len(windows), 'window', ',')} of {windows.length} bp, "
        f"{count(len(windows.names), 'label')}, {density:.3f} of the labels bound, "
        f"{1 - known.mean():.3f} masked",
        "",
        f"{'part':<8}{'kind':<11}{'windows':>9}{'GC':>8}{'sd':>7}",
    ]
    for row in sizes:
        lines.append(
            f"{row['part']:<8}{row['kind']:<11}{row['windows']:>9,}{row['gc']:>8.3f}"
            f"{row['gc_sd']:>7.3f}"
        )
    bound = (windows.labels == BOUND).sum(1)
    share = np.bincount(np.minimum(bound, 5), minlength=6)[1:]
    words = (f"{n:,} with {i}{'+' if i == 5 else ''}" for i, n in enumerate(share.tolist(), 1))
    lines += ["", f"windows by bound labels: {', '.join(words)}", ""]
    width = max(len(row["label"]) for row in labels) + 2
    head = (*PARTS, "masked", "density", "GC", "GC rest")
    lines.append(f"{'label':<{width}}" + "".join(f"{word:>9}" for word in head))
    for row in labels[:_SHOWN]:
        masked = sum(row[f"{part}_ambiguous"] for part in PARTS)
        counts = "".join(f"{row[f'{part}_bound']:>9,}" for part in PARTS)
        lines.append(
            f"{row['label']:<{width}}{counts}{masked:>9,}{row['train_density']:>9.3f}"
            f"{row['gc_bound']:>9.3f}{row['gc_unbound']:>9.3f}"
        )
    if len(labels) > _SHOWN:
        lines.append(f"... and {len(labels) - _SHOWN} more in {LABELS}")
    pairs = overlapping_pairs(windows.names, both, 10)
    if pairs:
        lines += ["", "labels that share most of their windows (Jaccard index, windows):"]
        form = "  {jaccard:.2f} {bins:>7,}  {a} + {b}"
        lines += [form.format(**pair) for pair in pairs]
    return lines + (["", *notes] if notes else [])
