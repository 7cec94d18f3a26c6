"""On how many labels does a model beat the best single motif, and CpG content?

    python benchmarks/motif_floor.py --data ../shared/data --split examples/encode-v1.split.json
    python benchmarks/motif_floor.py ... --model FOLDER

A bin scores the maximum of the motif over the 200 bp label bin, both strands. Each label gets two
motif floors: the best motif named for its factor (the best of all, where no motif is), and the best
of all motifs. Both are chosen on the very regions they are scored on, which favours the motif.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tcnfast.baselines.pwm import (
    TargetRanking,
    best_motifs,
    cpg_content,
    motif_precisions,
)
from tcnfast.dataset import SPLIT_PARTS, Dataset, open_dataset, read_split
from tcnfast.errors import TcnfastError
from tcnfast.genome import Genome, Region
from tcnfast.meme import read_meme

ROOT = Path(__file__).resolve().parents[1]
MOTIFS = "motifs/jaspar2024_core_vertebrates.meme.gz"
RECEPTIVE_FIELD, STRIDE = 1037, 32  # of the published model: they decide which bins are scored
MIN_PEAKS = 200  # training peaks a label needs
MIN_POSITIVES = 20  # scored positives a label needs to be counted


@dataclass(frozen=True)
class Floor:
    """What single motifs and CpG content reach on one label: a row of the table."""

    label: str
    positives: int
    chance: float
    named_motif: str
    named_ap: float
    best_motif: str
    best_ap: float
    cpg_ap: float


def load_dataset(data: Path, split_path: Path) -> tuple[Dataset, dict[str, list[Region]]]:
    """Labels of DREAM, and those of preciseTAD that DREAM lacks, with enough training peaks."""
    genome = Genome(data / "genome/hg19.chr20.fa.gz", data / "genome/hg19.chrX.first70M.fa.gz")
    split = read_split(split_path, genome.sizes)
    peaks = data / "peaks"
    dataset = open_dataset(
        genome,
        [
            peaks / "dream_conservative.hg19.chr20_X.bed.gz",
            peaks / "precisetad_gm12878_26tf.hg19.chr20_X.bed.gz",
        ],
        [peaks / "dream_relaxed.hg19.chr20_X.bed.gz"],
        peaks / "blacklist.hg19.chr20_X.bed.gz",
    )
    return dataset.drop_rare(split["train"], MIN_PEAKS)[0], split


def scored_bins(
    dataset: Dataset, regions: list[Region]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """(codes, starts of bins) of each region, and the targets of all bins, as in ``evaluate``."""
    bins, targets = [], []
    for region in regions:
        centres, labels = dataset.scored_bins(region, RECEPTIVE_FIELD, STRIDE)
        bins.append(
            (dataset.genome.codes(*region), centres - dataset.label_bin // 2 - region.start)
        )
        targets.append(labels)
    return bins, np.concatenate(targets)


def measure_floors(dataset: Dataset, regions: list[Region], motif_path: Path) -> list[Floor]:
    bins, targets = scored_bins(dataset, regions)
    ranking, width = TargetRanking(targets), dataset.label_bin
    cpg = np.concatenate([cpg_content(codes, starts, width) for codes, starts in bins])
    cpg_ap = ranking.average_precision(cpg)
    motifs = read_meme(motif_path)
    aps = motif_precisions(tqdm(motifs, unit="motif"), bins, targets, width)
    factors = [label.partition("@")[0] for label in dataset.labels]
    named = np.array([[motif.is_named(factor) for factor in factors] for motif in motifs])
    named[:, ~named.any(0)] = True
    own, best = best_motifs(aps, named), best_motifs(aps)
    # a label without positives has no best motif: index -1
    titles = [*(f"{motif.id} {motif.name}" for motif in motifs), "none"]
    return [
        Floor(
            label,
            int(ranking.positives[i]),
            float(ranking.positives[i] / max(ranking.windows[i], 1)),
            titles[own[i]],
            float(aps[own[i], i]),
            titles[best[i]],
            float(aps[best[i], i]),
            float(cpg_ap[i]),
        )
        for i, label in enumerate(dataset.labels)
    ]


def write_floors(path: Path, floors: list[Floor], conditions: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        for line in conditions:
            file.write(f"# {line}\n")
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(Floor.__dataclass_fields__)
        for floor in floors:
            values = vars(floor).values()
            writer.writerow(f"{v:.6f}" if isinstance(v, float) else v for v in values)


def read_floors(path: Path, regions: str) -> list[Floor]:
    """The cached table; raises TcnfastError if it is of other regions."""
    with open(path, newline="") as file:
        lines = file.read().splitlines()
    if f"# {regions}" not in lines:
        raise TcnfastError(f"{path}: not of {regions}; name another --table")
    rows = csv.DictReader((line for line in lines if line[:1] != "#"), delimiter="\t")
    types = {"label": str, "positives": int, "named_motif": str, "best_motif": str}
    return [Floor(**{key: types.get(key, float)(row[key]) for key in row}) for row in rows]


def model_precisions(folder: Path, dataset: Dataset, regions: list[Region]) -> dict[str, float]:
    """AP of a model on each of its labels, both strands."""
    from tcnfast.evaluate import evaluate
    from tcnfast.model import load_model
    from tcnfast.plan import Plan

    plan = Plan(load_model(folder), strand="both")
    if (plan.receptive_field, plan.stride) != (RECEPTIVE_FIELD, STRIDE):
        raise TcnfastError(
            f"{folder}: receptive field {plan.receptive_field} at stride {plan.stride}; the floors "
            f"are for bins of {RECEPTIVE_FIELD} at {STRIDE}"
        )
    scores = evaluate(plan, dataset.select(plan.labels), regions)
    return dict(zip(scores.labels, scores.ap.tolist(), strict=True))


def print_floors(floors: list[Floor], top: int = 15) -> None:
    counted = [floor for floor in floors if floor.positives >= MIN_POSITIVES]
    print(
        f"{len(floors)} labels, {len(counted)} with at least {MIN_POSITIVES} positives; macro AP:"
    )
    for name in ("chance", "cpg_ap", "named_ap", "best_ap"):
        print(f"  {name:9} {np.mean([getattr(floor, name) for floor in counted]):.4f}")
    print(f"\n{'label':18} {'bound':>6} {'CpG':>6} {'named':>6} {'best':>6}  motifs")
    for floor in sorted(floors, key=lambda floor: -floor.named_ap)[:top]:
        print(
            f"{floor.label:18} {floor.positives:6d} {floor.cpg_ap:6.3f} {floor.named_ap:6.3f} "
            f"{floor.best_ap:6.3f}  {floor.named_motif}; {floor.best_motif}"
        )


def print_comparison(floors: list[Floor], aps: dict[str, float]) -> None:
    counted = [f for f in floors if f.positives >= MIN_POSITIVES and f.label in aps]
    print(f"{'label':18} {'bound':>6} {'model':>6} {'named':>6} {'best':>6} {'CpG':>6}")
    for floor in sorted(counted, key=lambda floor: -aps[floor.label]):
        print(
            f"{floor.label:18} {floor.positives:6d} {aps[floor.label]:6.3f} {floor.named_ap:6.3f} "
            f"{floor.best_ap:6.3f} {floor.cpg_ap:6.3f}"
        )
    lacking = [floor.label for floor in floors if floor.label not in aps]
    if lacking:
        print(f"not counted, no labels of the model: {', '.join(lacking)}")
    model = np.array([aps[floor.label] for floor in counted])
    named = np.array([floor.named_ap for floor in counted])
    best = np.array([floor.best_ap for floor in counted])
    cpg = np.array([floor.cpg_ap for floor in counted])
    print(
        f"\nmacro AP over {len(counted)} labels with at least {MIN_POSITIVES} positives: model "
        f"{model.mean():.4f}, named motif {named.mean():.4f}, best motif {best.mean():.4f}, "
        f"CpG {cpg.mean():.4f}"
    )
    for name, floor in {
        "named motif": named,
        "best motif": best,
        "CpG content": cpg,
        "named motif and CpG": np.maximum(named, cpg),
        "best motif and CpG": np.maximum(best, cpg),
    }.items():
        above = int((model > floor).sum())
        print(f"above {name:20} {above:3d} of {len(counted)} ({above / len(counted):.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--split", type=Path, default=ROOT / "examples/encode-v1.split.json")
    parser.add_argument("--part", choices=SPLIT_PARTS, default="valid")
    parser.add_argument("--model", type=Path, help="folder of a model to compare")
    parser.add_argument(
        "--table",
        type=Path,
        default=ROOT / "benchmarks/results/motif_floor.tsv",
        help="the floors: read if it is there, else measured and written",
    )
    args = parser.parse_args()
    dataset, split = load_dataset(args.data, args.split)
    regions = split[args.part]
    stamp = f"{args.part}: " + ", ".join(f"{r.chrom}:{r.start + 1}-{r.end}" for r in regions)
    if not args.table.exists():
        data, split_path = (os.path.relpath(path, ROOT) for path in (args.data, args.split))
        conditions = [
            f"python benchmarks/motif_floor.py --data {data} --split {split_path} "
            f"--part {args.part}",
            stamp,
            f"{MOTIFS}, maximum over the {dataset.label_bin} bp label bin, both strands; "
            f"named_motif is best_motif where no motif is named for the factor",
            date.today().isoformat(),
        ]
        write_floors(args.table, measure_floors(dataset, regions, args.data / MOTIFS), conditions)
    floors = read_floors(args.table, stamp)
    if args.model is None:
        print_floors(floors)
    else:
        print_comparison(floors, model_precisions(args.model, dataset, regions))


if __name__ == "__main__":
    try:
        main()
    except TcnfastError as error:
        raise SystemExit(f"motif_floor: {error}") from None
