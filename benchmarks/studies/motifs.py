"""What encode-v1 learned to look for: TF-MoDISco on its attributions at training peaks, label by
label, and whether the label's own motif is among what it finds. docs/motifs.md is made of it.

    python -m benchmarks.studies.motifs DATA OUT [LABEL ...]

Of each label the training peaks with the highest logits, up to 600, one window around each
summit; integrated gradients against uniform bases. A label that is done in OUT is not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.studies.encode_data import ROOT, load_dataset
from tcnfast.attribute.attributions import Attributions
from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.networks import Networks, one_hot
from tcnfast.base.run_record import versions
from tcnfast.data.dataset import Dataset
from tcnfast.genome.genome import Region
from tcnfast.model.load_model import load_model
from tcnfast.motifs import MotifOptions, motifs
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.motifs.motifs_run import write_motifs
from tcnfast.motifs.patterns import PatternSet
from tcnfast.pwm.meme import DATABASE, read_meme

log = logging.getLogger("study")

WINDOWS = 600
STEPS = 5
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("labels", nargs="*")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    networks = Networks(load_model("encode-v1"))
    dataset, split = load_dataset(args.data, ROOT / "examples" / "encode-v1.split.json")
    args.out.mkdir(parents=True, exist_ok=True)
    for label in args.labels or networks.labels:
        file, folder = args.out / "attributions" / f"{label}.npz", args.out / "motifs" / label
        if folder.exists():
            continue
        started = time.monotonic()
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            explain(networks, dataset, split["train"], label).save(file)
            record = {"key": {"command": "attribute"}, "windows": windows(file.parent)}
            (file.parent / "run.json").write_text(json.dumps(record))
        explained = time.monotonic()
        motifs(file.parent, folder, targets=[label], force=True)
        spent = explained - started, time.monotonic() - explained
        log.info("%s: attributions %.0f s, motifs %.0f s", label, *spent)
    collect(args.out)


def explain(
    networks: Networks, dataset: Dataset, regions: list[Region], label: str
) -> Attributions:
    """Integrated gradients at the summits of a label's training peaks that score highest."""
    column, width = networks.labels.index(label), networks.receptive_field
    chrom, start = summit_windows(dataset, regions, label, width)
    codes = np.stack(
        [dataset.genome.codes(c, s, s + width) for c, s in zip(chrom, start, strict=True)]
    )
    parts = [codes[i : i + BATCH] for i in range(0, len(codes), BATCH)]
    logit = np.concatenate(
        [networks.logits(one_hot(torch.from_numpy(part)))[:, column].numpy() for part in parts]
    )
    best = np.sort(np.argsort(-logit, kind="stable")[:WINDOWS])
    chrom, start, codes = chrom[best], start[best], codes[best]
    how = dict(baseline="gc", steps=STEPS)
    batches = [
        integrated_gradients(networks, codes[i : i + BATCH], [column], **how)[0]
        for i in range(0, len(codes), BATCH)
    ]
    hypothetical, logit, gap = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    log.info("%s: %d windows, median gap %.2g logits", label, len(start), np.median(np.abs(gap)))
    method = f"integrated gradients, baseline gc, {STEPS} steps"
    return Attributions(label, method, chrom, start, codes, hypothetical, logit)


def windows(folder: Path) -> dict[str, int]:
    """Number of windows of each label that is there."""
    each = [Attributions.open(path) for path in sorted(folder.glob("*.npz"))]
    return {one.label: len(one) for one in each}


def summit_windows(
    dataset: Dataset, regions: list[Region], label: str, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Contig and first base of a window around the summit, or else the middle, of each peak of
    ``label`` that lies wholly in ``regions``."""
    peaks = dataset.bound.take(dataset.bound.label == label)
    middle = np.where(peaks.summit >= 0, peaks.summit, (peaks.start + peaks.end) // 2)
    start = middle - width // 2
    inside = np.zeros(len(peaks), bool)
    for chrom, first, end in regions:
        inside |= (peaks.chrom == chrom) & (start >= first) & (start + width <= end)
    return peaks.chrom[inside].astype(str), start[inside]


def collect(out: Path) -> None:
    """One folder of the motifs of all labels that are done, ``out``/all, for tcnfast report."""
    found, failed = {}, {}
    for path in sorted((out / "motifs").glob("*@*/patterns/*.npz")):
        one = PatternSet.open(path)
        found[one.label] = one
    for path in sorted((out / "motifs").glob("*@*/labels.tsv")):
        failed |= MotifFolder(path.parent).failed
    write_motifs(out / "all", found, failed, read_meme(DATABASE), MotifOptions())
    record = {"key": {"command": "motifs"}, "motifs": DATABASE.name, "versions": versions()}
    (out / "all" / "run.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
