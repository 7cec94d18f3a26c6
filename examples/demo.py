"""``make demo``: scan a piece of human chromosome 20 that the bundled model was never trained on,
compare the calls with real ChIP-seq peaks, and draw one locus.

Data: hg19 chr20:34,000,001-36,000,000 with ENCODE peaks; see examples/data/README.md.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

import tcnfast
from tcnfast.base.verb import DEFAULT_MODEL
from tcnfast.data.dataset import open_dataset
from tcnfast.evaluate.predict import evaluate
from tcnfast.genome.genome import Region
from tcnfast.genome.intervals import read_labelled, touched
from tcnfast.scan.scan_folder import ScanFolder

DATA = Path(__file__).parent / "data"
GENOME = DATA / "chr20_34-36Mb.fa.gz"
PEAKS = DATA / "chr20_34-36Mb.peaks.bed.gz"
RELAXED = DATA / "chr20_34-36Mb.relaxed.bed.gz"
CONTIG, OFFSET = "chr20_34-36Mb", 34_000_000
MIN_PEAKS = 20  # a label with fewer real peaks on the piece has no share worth printing

LOCUS = (1_740_000, 1_960_000)  # of the piece
SHOWN = [
    "CTCF@K562",
    "RAD21@GM12878",
    "MAX@K562",
    "TAF1@H1-hESC",
    "GABPA@HepG2",
    "CEBPB@HepG2",
    "JUND@K562",
    "ZNF143@H1-hESC",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL)
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="tcnfast: %(message)s")
    args.output.mkdir(exist_ok=True)
    scan = tcnfast.scan(
        GENOME, args.model, args.output / "scan", tracks=SHOWN, force=True, progress=True
    )
    print_table(scan, args.model)
    picture = draw_locus(scan, args.output / "locus.png")
    print(f"\nCalls: {scan.path}/peaks/   picture: {picture}")
    print("hg19 chr20:34-36 Mb lies in the model's test region: it was never trained on.")
    print(f"Open this page in a browser: {scan.path}/index.html")


def print_table(scan: ScanFolder, model_name: str) -> None:
    """Calls against real peaks, label by label, on stdout."""
    model = tcnfast.load_model(model_name)
    peaks = read_labelled(PEAKS)
    with tcnfast.Genome(GENOME) as genome:
        dataset = open_dataset(genome, [PEAKS], [RELAXED]).select(model.labels)
        plan = tcnfast.Plan(model, strand="both")
        scores = evaluate(plan, dataset, [Region(CONTIG, 0, genome.sizes[CONTIG])])
    print(
        f"\n{'label':16}{'calls':>7}{'peaks':>7}{'found':>8}{'precision':>11}{'AP':>8}{'chance':>9}"
    )
    rows = []
    for label in scan.labels:
        real = peaks.take(peaks.label == label)
        if len(real) >= MIN_PEAKS:
            calls = scan.intervals(label)
            found = touched(real.start, real.end, calls.start, calls.end).mean()
            right = touched(calls.start, calls.end, real.start, real.end)
            precision = right.mean() if len(right) else np.nan
            index = model.labels.index(label)
            rows.append(
                (
                    label,
                    len(calls),
                    len(real),
                    found,
                    precision,
                    scores.ap[index],
                    scores.chance[index],
                )
            )
    best = {}
    for row in sorted(rows, key=lambda row: -row[5]):
        best.setdefault(row[0].partition("@")[0], row)
    for row in list(best.values())[:16]:
        print("{:16}{:7d}{:7d}{:8.0%}{:11.0%}{:8.3f}{:9.4f}".format(*row))
    means = np.nanmean(np.array([row[3:] for row in rows], float), axis=0)
    print(f"mean of the {len(rows)} labels with at least {MIN_PEAKS} peaks here:")
    print("{:30}{:8.0%}{:11.0%}{:8.3f}{:9.4f}".format("", *means))
    print("(above: the best label of each factor; found: share of the peaks that a call touches;")
    print(" precision: share of the calls that touch a peak)")


def draw_locus(scan: ScanFolder, path: Path) -> Path:
    """Predicted tracks and calls above the real peaks of one locus."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import pyBigWig

    start, end = LOCUS
    peaks = read_labelled(PEAKS)
    figure, axes = plt.subplots(
        len(SHOWN), 1, figsize=(12, 1.05 * len(SHOWN) + 1), sharex=True, layout="constrained"
    )
    for axis, label in zip(axes, SHOWN, strict=True):
        with pyBigWig.open(str(scan.tracks[label])) as track:
            values = np.nan_to_num(track.values(CONTIG, start, end, numpy=True))
        top = max(0.1, values.max())
        where = (OFFSET + np.arange(start, end)) / 1e6
        axis.fill_between(where, values / top, color="#2a6fb0", linewidth=0)
        calls = scan.intervals(label)
        real = peaks.take(peaks.label == label)
        for intervals, level, colour in ((calls, -0.22, "#2a6fb0"), (real, -0.52, "#222222")):
            spans = [
                ((OFFSET + a) / 1e6, (b - a) / 1e6)
                for a, b in zip(intervals.start, intervals.end, strict=True)
                if b > start and a < end
            ]
            # a peak is narrower than a pixel here: an edge keeps it visible
            axis.broken_barh(spans, (level, 0.2), color=colour, edgecolor=colour, linewidth=0.8)
        axis.set_ylim(-0.6, 1.05)
        axis.set_yticks([])
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        axis.text(1.003, 0.97, f"{top:.2f}", transform=axis.transAxes, fontsize=7, va="top")
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_title(
        "Predicted from DNA alone (blue: probability, right its maximum; bars: calls) above real "
        "ChIP-seq peaks (black). Test region: never trained on.",
        fontsize=9,
        loc="left",
    )
    axes[-1].set_xlim((OFFSET + start) / 1e6, (OFFSET + end) / 1e6)
    axes[-1].set_xlabel("hg19 chr20, Mb")
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


if __name__ == "__main__":
    main()
