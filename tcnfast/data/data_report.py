"""The report of ``tcnfast prepare``: what is in a dataset, as tables, JSON and text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from ..base.disk import write_text
from ..base.jit import jit
from ..base.tables import write_frame
from ..base.talk import count
from ..genome.genome import Region
from ..genome.labels import AMBIGUOUS, BOUND, UNBOUND
from .dataset import Dataset
from .splits import SPLIT_PARTS

REPORT, LABELS, TOGETHER = "report.json", "report.labels.tsv", "report.cooccurrence.tsv"
_PAIRS = 20  # in report.json; half of them in the text
_FEWEST_SHARED = 50  # bins, for a pair to be named
CHUNK = 20_000  # bins at a time: 14 MB of labels where there are 700

GC, CPG, KNOWN = 0, 1, 2


@dataclass
class LabelCounts:
    """Counts over bins of ``label_bin`` bases, side by side from the start of each region.

    Bins of nothing but N are left out. ``bins`` {part: number}; ``bound`` and ``ambiguous`` {part:
    int64 (labels,)}; ``bases`` int64 (3, 3, labels): by kind of bin (UNBOUND, BOUND, AMBIGUOUS),
    its G and C, its CpG, its known bases; ``both`` int64 (labels, labels): bins where both are
    bound, in all parts.
    """

    bins: dict[str, int]
    bound: dict[str, np.ndarray]
    ambiguous: dict[str, np.ndarray]
    bases: np.ndarray
    both: np.ndarray

    def share(self, what: int, kind: int) -> np.ndarray:
        """GC or CPG per known base in bins of a kind, float64 (labels,); NaN without bins."""
        known = self.bases[kind, KNOWN].astype(np.float64)
        return np.divide(
            self.bases[kind, what], known, out=np.full_like(known, np.nan), where=known > 0
        )


def make_report(
    dataset: Dataset, split: dict[str, list[Region]], min_peaks: int, sizes: dict[str, int]
) -> tuple[dict, LabelCounts]:
    """The contents of report.json, and the counts behind them.

    ``min_peaks``: training peaks below which ``tcnfast train`` drops a label; ``sizes``: bytes of
    the files of the dataset.
    """
    counts = count_labels(dataset, split)
    peaks = {part: dataset.count_peaks(split[part]) for part in SPLIT_PARTS}
    rows = [
        _label_row(i, dataset.labels, counts, peaks, min_peaks) for i in range(len(peaks["train"]))
    ]
    parts = {
        part: {
            "regions": len(split[part]),
            "bases": sum(end - start for _, start, end in split[part]),
            "bins": counts.bins[part],
            "peaks": int(peaks[part].sum()),
            "bound_bins": int(counts.bound[part].sum()),
            "labels_with_peaks": int((peaks[part] > 0).sum()),
        }
        for part in SPLIT_PARTS
    }
    report = {
        "bytes": sizes,
        "label_bin": dataset.label_bin,
        "parts": parts,
        "labels": rows,
        "dropped": [row["label"] for row in rows if row["dropped"]],
        "pairs": overlapping_pairs(dataset.labels, counts.both, _PAIRS, _FEWEST_SHARED),
    }
    return report, counts


def _label_row(
    i: int, labels: list[str], counts: LabelCounts, peaks: dict[str, np.ndarray], min_peaks: int
) -> dict:
    row: dict = {"label": labels[i]}
    for part in SPLIT_PARTS:
        bound, ambiguous = (int(x[part][i]) for x in (counts.bound, counts.ambiguous))
        scored = counts.bins[part] - ambiguous
        row[f"{part}_peaks"] = int(peaks[part][i])
        row[f"{part}_bound"], row[f"{part}_ambiguous"] = bound, ambiguous
        row[f"{part}_density"] = bound / scored if scored else None
    for name, what in (("gc", GC), ("cpg", CPG)):
        for kind, word in ((BOUND, "bound"), (UNBOUND, "unbound")):
            value = float(counts.share(what, kind)[i])
            row[f"{name}_{word}"] = None if math.isnan(value) else value
    row["dropped"] = why_dropped(int(peaks["train"][i]), min_peaks)
    return row


def why_dropped(train_peaks: int, min_peaks: int) -> str:
    """Why ``tcnfast train`` drops a label; empty if it does not."""
    if train_peaks >= min_peaks:
        return ""
    return f"{train_peaks or 'no'} training peaks, fewer than {min_peaks}"


def overlapping_pairs(
    labels: list[str], both: np.ndarray, most: int, fewest: int = 1
) -> list[dict]:
    """The ``most`` pairs of labels that share most of what they bind (Jaccard index), best first.

    ``both`` int64 (labels, labels): bins, or windows, that two labels bind; pairs with less than
    ``fewest`` are left out."""
    bound = both.diagonal()
    either = bound[:, None] + bound[None, :] - both
    jaccard = both / np.maximum(either, 1)
    jaccard[(both < fewest) | np.tri(len(labels), dtype=bool)] = 0
    order = np.argsort(-jaccard, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(index, jaccard.shape) for index in order]
    return [
        {"a": labels[a], "b": labels[b], "bins": int(both[a, b]), "jaccard": float(jaccard[a, b])}
        for a, b in pairs
        if jaccard[a, b] > 0
    ]


def write_report(folder: Path, report: dict, counts: LabelCounts) -> None:
    """Write report.json, a table of labels and the whole matrix of bins bound by two labels."""
    write_text(folder / REPORT, json.dumps(report, indent=2) + "\n")
    write_frame(folder / LABELS, pandas.DataFrame(report["labels"]))
    write_matrix(folder / TOGETHER, [row["label"] for row in report["labels"]], counts.both)


def write_matrix(path: Path, names: list[str], both: np.ndarray) -> None:
    """A matrix (labels, labels) as a table."""
    table = pandas.DataFrame(both, columns=names)
    table.insert(0, "label", names, allow_duplicates=True)
    write_frame(path, table)


def report_text(report: dict) -> str:
    """The report for a reader."""
    rows, kept = report["labels"], [row for row in report["labels"] if not row["dropped"]]
    size = sum(report["bytes"].values()) / 1e6
    lines = [f"{count(len(rows), 'label')}, {len(kept)} to train on; {size:,.1f} MB on disk", ""]
    lines.append(f"{'part':<8}{'regions':>8}{'Mb':>10}{'bins':>12}{'bound':>12}{'peaks':>12}")
    for part, x in report["parts"].items():
        lines.append(
            f"{part:<8}{x['regions']:>8,}{x['bases'] / 1e6:>10,.1f}{x['bins']:>12,}"
            f"{x['bound_bins']:>12,}{x['peaks']:>12,}"
        )
    lines.append(f"(bins of {report['label_bin']} bp side by side; bound: summed over labels)")
    lines += ["", *_spread_lines(kept or rows)]
    if report["pairs"]:
        lines += ["", "labels that share most of their bound bins (Jaccard index, bins):"]
        for pair in report["pairs"][: _PAIRS // 2]:
            lines.append(f"  {pair['jaccard']:.2f} {pair['bins']:>8,}  {pair['a']} + {pair['b']}")
    dropped = [row for row in rows if row["dropped"]]
    if dropped:
        lines += ["", f"labels that tcnfast train will drop ({len(dropped)}):"]
        lines += [f"  {row['label']}: {row['dropped']}" for row in dropped]
    return "\n".join(lines)


def _spread_lines(rows: list[dict]) -> list[str]:
    """Lowest, median and highest of what the labels differ in."""
    shown = (
        ("peaks, train", "train_peaks", "{:,.0f}"),
        ("peaks, valid", "valid_peaks", "{:,.0f}"),
        ("peaks, test", "test_peaks", "{:,.0f}"),
        ("bound share, train", "train_density", "{:.5f}"),
        ("GC, bound bins", "gc_bound", "{:.3f}"),
        ("GC, unbound bins", "gc_unbound", "{:.3f}"),
        ("CpG, bound bins", "cpg_bound", "{:.4f}"),
        ("CpG, unbound bins", "cpg_unbound", "{:.4f}"),
    )
    head = f"of {count(len(rows), 'label')}"
    lines = [f"{head:<22}{'lowest':>10}{'median':>10}{'highest':>10}  label of the highest"]
    for words, key, form in shown:
        found = [row for row in rows if row[key] is not None]
        if not found:
            continue
        values = np.array([row[key] for row in found], np.float64)
        low, middle, high = (form.format(x) for x in np.quantile(values, [0, 0.5, 1]))
        lines.append(
            f"{words:<22}{low:>10}{middle:>10}{high:>10}  {found[values.argmax()]['label']}"
        )
    return lines


def count_labels(dataset: Dataset, split: dict[str, list[Region]]) -> LabelCounts:
    """Count the bins of every part of the split."""
    n = len(dataset.labels)
    bases, both = np.zeros((3, 3, n), np.int64), np.zeros((n, n), np.int64)
    total = np.zeros(3, np.int64)
    bins, bound, ambiguous = {}, {}, {}
    for part, regions in split.items():
        counts, number = np.zeros((3, n), np.int64), 0
        for region in regions:
            for first in range(region.start, region.end, CHUNK * dataset.label_bin):
                last = min(first + CHUNK * dataset.label_bin, region.end)
                matrix, content = _chunk(dataset, Region(region.chrom, first, last))
                _tally(matrix, content, counts, bases, both)
                number += len(matrix)
                total += content.sum(0)
        bins[part], bound[part], ambiguous[part] = number, counts[BOUND], counts[AMBIGUOUS]
    # the sweep looks at bound and ambiguous bins alone: the rest is unbound
    bases[UNBOUND] = total[:, None] - bases[BOUND] - bases[AMBIGUOUS]
    both += np.triu(both, 1).T
    return LabelCounts(bins, bound, ambiguous, bases, both)


def _chunk(dataset: Dataset, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 (bins, labels) and G+C, CpG and known bases int64 (bins, 3) of a region's
    bins."""
    width = dataset.label_bin
    count = (region.end - region.start) // width
    starts = region.start + width * np.arange(count, dtype=np.int64)
    codes = dataset.genome.codes(region.chrom, region.start, region.start + count * width)
    content = np.empty((count, 3), np.int64)
    _content(codes, width, content)
    known = content[:, KNOWN] > 0
    matrix = dataset.targets(region.chrom, starts[known] + width // 2)
    return matrix, content[known]


@jit
def _content(codes, width, out):
    for row in range(out.shape[0]):
        gc = cpg = known = 0
        before = 4
        for i in range(row * width, (row + 1) * width):
            code = codes[i]
            gc += code == 1 or code == 2
            cpg += before == 1 and code == 2
            known += code < 4
            before = code
        out[row, 0], out[row, 1], out[row, 2] = gc, cpg, known


@jit
def _tally(matrix, content, counts, bases, both):
    """Add the bins of ``matrix`` to the counts; of ``both`` the upper triangle."""
    here = np.empty(matrix.shape[1], np.int64)
    for row in range(matrix.shape[0]):
        bound = 0
        for label in range(matrix.shape[1]):
            kind = matrix[row, label]
            if kind == UNBOUND:
                continue
            counts[kind, label] += 1
            for column in range(3):
                bases[kind, column, label] += content[row, column]
            if kind == BOUND:
                here[bound] = label
                bound += 1
        for i in range(bound):
            for j in range(i, bound):
                both[here[i], here[j]] += 1
