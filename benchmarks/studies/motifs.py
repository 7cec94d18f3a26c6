"""What encode-v1 learned to look for: TF-MoDISco on its attributions at training peaks, label by
label, and whether the label's own motif is among what it finds. docs/motifs.md is made of it.

    python -m benchmarks.studies.motifs DATA OUT [LABEL ...]
    python -m benchmarks.studies.motifs --table OUT/all picture.svg > table.md

Of each label the training peaks with the highest logits, up to 600, one window around each
summit; integrated gradients against uniform bases. A label that is done in OUT is not run again.
`--table` makes the table and the picture of docs/motifs.md from what was found.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.studies.training import ROOT, load_dataset
from tcnfast.attribute.attributions import Attributions
from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.networks import Networks, one_hot
from tcnfast.base.logo import draw_logo, glyph_definitions
from tcnfast.base.run_record import versions
from tcnfast.data.dataset import Dataset
from tcnfast.genome.genome import Region
from tcnfast.model.load_model import load_model
from tcnfast.motifs import MotifOptions, motifs
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.motifs.motifs_run import write_motifs
from tcnfast.motifs.patterns import PatternSet
from tcnfast.pwm.meme import DATABASE, read_meme
from tcnfast.report.report_motifs import SIGNIFICANT, LabelMotifs, MotifCard, read_motifs

log = logging.getLogger("study")

WINDOWS = 600
STEPS = 5
BATCH = 64
# motifs of JASPAR that a person of the field would call the same, and the factors they belong to
FAMILIES = {
    "ETS": (r"ELK|ETV|ETS|ERG|ELF|GABPA|FLI|EHF|ERF|SPI", ("GABPA", "SPI1", "ETS1")),
    "AP-1": (r"FOS|JUN|BATF", ("JUND", "ATF3", "FOS")),
    "C/EBP": (r"CEBP", ("CEBPB",)),
    "FOX": (r"FOX", ("FOXA1", "FOXA2")),
    "TEAD": (r"TEAD", ("TEAD4",)),
    "CREB/ATF": (r"CRE[BM]|ATF|FOSB::JUN$|JUN::JUNB$", ("ATF7", "CREB1", "ATF3")),
    "E-box": (r"MAX|MYC|MXI|USF|MLX|MNT|HES", ("MAX", "MYC", "MXI1")),
    "MAF": (r"MAF|NFE2|BACH", ("MAFK",)),
    "GATA": (r"GATA", ("GATA3",)),
    "YY1": (r"YY|ZFP42", ("YY1",)),
    "ZNF143": (r"ZNF143|ZNF76", ("ZNF143",)),
}
DRAWN = 12
WIDE, HIGH, PER_ROW = 300, 92, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("labels", nargs="*")
    parser.add_argument("--table", action="store_true", help="DATA is OUT/all, OUT the picture")
    args = parser.parse_args()
    if args.table:
        return table(args.data, args.out)
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


def table(found: Path, picture: Path) -> None:
    sections = read_motifs(MotifFolder(found))
    print("| label | windows | verdict | its motif | other motifs |\n|---|---:|---|---|---|")
    for section in sections:
        print(table_row(section))
    own = [(s, card) for s in sections for card in s.cards[:3] if judge(s.label, card) == "own"]
    first = {}
    for section, card in sorted(own, key=lambda pair: -len(pair[1].pattern)):
        first.setdefault(section.label.partition("@")[0], (section, card))
    picture.write_text(draw(list(first.values())[:DRAWN]))


def table_row(section: LabelMotifs) -> str:
    """One label: whether its own motif is there, and what else is."""
    good = [card for card in section.cards if judge(section.label, card) != "unknown"]
    verdicts = [judge(section.label, card) for card in good]
    verdict = next((v for v in ("own", "family", "other") if v in verdicts), "nothing")
    mine = good[verdicts.index(verdict)] if good else None
    its = "" if verdict in ("other", "nothing") else words(mine, verdict)
    others = [words(card) for card in good if not its or card is not mine]
    unmatched = len(section.cards) - len(good)
    if unmatched:
        others.append(f"{unmatched} unmatched")
    shown = {"other": "partner's"}.get(verdict, verdict)
    return f"| {section.label} | {section.windows} | {shown} | {its} | {', '.join(others)} |"


def judge(label: str, card: MotifCard) -> str:
    """own: named for the factor; family: of a relative with the same motif; other; unknown."""
    if card.verdict in ("own", "unknown") or card.pattern.sign == "neg":
        return card.verdict if card.pattern.sign == "pos" else "unknown"
    factor, name = label.partition("@")[0], card.row.match_name.upper()
    for pattern, factors in FAMILIES.values():
        if factor in factors and re.search(f"^({pattern})", name):
            return "family"
    return "other"


def words(card: MotifCard, verdict: str = "other") -> str:
    q = card.row.named_q if verdict == "own" else card.row.q
    assert q <= SIGNIFICANT
    return f"{card.row.match_name} ({card.row.seqlets}, {q:.0e})"


def draw(shown: list[tuple[LabelMotifs, MotifCard]]) -> str:
    """Logos of some motifs as one SVG file."""
    rows = -(-len(shown) // PER_ROW)
    parts = []
    for index, (section, card) in enumerate(shown):
        x, y = 20 + WIDE * (index % PER_ROW), 10 + HIGH * (index // PER_ROW)
        core = card.pattern.contributions[card.pattern.core]
        logo = draw_logo(core, section.label, height=56)
        width = min(12.0 * len(core), WIDE - 40)
        inner = str(logo).replace("<svg ", f'<svg y="18" width="{width}" height="56" ', 1)
        name = f"{section.label}: {len(card.pattern)} seqlets"
        parts.append(f'<g transform="translate({x} {y})"><text y="12">{name}</text>{inner}</g>')
    style = (
        "text{font:13px sans-serif;fill:#333}.axis{stroke:#888;fill:none}#base-A{fill:#15803d}"
        "#base-C{fill:#1d4ed8}#base-G{fill:#c2690a}#base-T{fill:#c62828}"
    )
    size = f'width="{WIDE * PER_ROW}" height="{HIGH * rows + 20}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{glyph_definitions()}{"".join(parts)}</svg>'
    )


if __name__ == "__main__":
    main()
