"""What a bundled model learned to look for, and whether its calls are as often right as it says.

    python -m benchmarks.studies.bundled_model motifs DATA OUT [LABEL ...] [-m MODEL]
    python -m benchmarks.studies.bundled_model table OUT/all picture.svg > table.md
    python -m benchmarks.studies.bundled_model calls --part test -g hg19.fa --peaks peaks.bed.gz \\
      --split split.json -o encode-v1.calls.test.tsv

motifs  TF-MoDISco on its attributions at training peaks, label by label, and whether the label's
        own motif is among what it finds. Of each label the training peaks with the highest logits,
        up to 600, one window around each summit; integrated gradients against uniform bases. A
        label that is done in OUT is not run again. `table` makes the table and the picture of
        docs/motifs.md from what was found.
calls   What a model expects of its calls against what is found on a part of the split. A row a
        label and cutoff: ``best`` (the default of a scan), ``precision=0.5`` and ``f1`` (the
        default before there were ladders). Beneath, on stdout, means over labels with 20 calls or
        more. With ``-t @GM12878,@K562 --within open.bed``: calls with and without ``--within`` of a
        scan. ``everywhere``, called at the default cutoff; ``inside``, the same cutoff and only the
        calls inside the regions; ``ladder``, the best F1 with half of the calls right of a ladder
        measured inside. Recall is of all peaks of the label, wherever they lie.
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
from tcnfast.base.logits import logit
from tcnfast.base.logo import draw_logo, glyph_definitions
from tcnfast.base.options import chosen_labels
from tcnfast.base.run_record import versions
from tcnfast.base.tables import write_rows
from tcnfast.base.verb import DEFAULT_MODEL
from tcnfast.data.dataset import Dataset
from tcnfast.data.source import open_source
from tcnfast.engines.plan import Plan
from tcnfast.evaluate.call_ladder import count_calls, measure_ladders, stretches_of
from tcnfast.evaluate.predict import predict
from tcnfast.genome.genome import Region
from tcnfast.genome.intervals import read_bed
from tcnfast.model.cutoffs import choose_cutoffs
from tcnfast.model.load_model import load_model
from tcnfast.motifs import MotifOptions
from tcnfast.motifs import motifs as find_motifs
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
STRIDE, LEAST_CALLS = 32, 20
RULES = ("best", "precision=0.5", "f1")
WITHIN_COLUMNS = ("regions", "label", "cutoff", "calls", "precision", "recall", "peaks")
COLUMNS = ("cutoff", "label", "grade", "threshold", "expected", "calls", "found", "recall", "peaks")


def motifs(args: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    networks = Networks(load_model(args.model))
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
        find_motifs(file.parent, folder, targets=[label], force=True)
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


def table(args: argparse.Namespace) -> None:
    found, picture = args.found, args.picture
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


def calls(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    files = {x: getattr(args, x) for x in ("genome", "peaks", "ambiguous", "blacklist", "split")}
    about = dict(labels=model.labels, label_bin=model.config.label_bin)
    with open_source(None, **files, **about) as source:
        if args.within:
            write_rows(args.output, WITHIN_COLUMNS, measure_within(model, source, args))
            return print(args.output.read_text(), end="")
        rows = measure(model, source, args.part)
    write_rows(args.output, COLUMNS, rows)
    for rule in RULES:
        for graded in (True, False):
            tell(rule, graded, [row for row in rows if row[0] == rule])


def measure(model, source, part: str) -> list[tuple]:
    plan = Plan(model, stride=STRIDE, strand="both")
    regions, dataset = source.split[part], source.dataset
    logits, _ = predict(plan, dataset, regions)
    stretches = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE)
    rows = []
    for rule in RULES:
        chosen = choose_cutoffs(model.thresholds, model.labels, rule, model.calls)
        thresholds = [x.threshold if x else np.nan for x in chosen.values()]
        found = count_calls(dataset, stretches, STRIDE, logit(np.array(thresholds)))
        columns = found.calls, found.precision, found.recall, found.peaks
        each = zip(chosen.items(), *columns, strict=True)
        for (label, cutoff), calls, precision, recall, peaks in each:
            expected = cutoff.precision if cutoff else np.nan
            numbers = [round(float(x), 4) for x in (precision, recall)]
            about = model.calls.grades[label].grade, cutoff and cutoff.threshold, round(expected, 4)
            rows.append((rule, label, *about, calls, numbers[0], numbers[1], peaks))
    return rows


def measure_within(model, source, args) -> list[tuple]:
    regions, dataset = source.split[args.part], source.dataset
    plan = Plan(model, stride=STRIDE, strand="both")
    logits, _ = predict(plan, dataset, regions)
    wanted = chosen_labels(model.labels, args.targets)
    best = [model.calls.ladders[label].best().threshold for label in model.labels]

    def count(name, cutoff, thresholds, within=None):
        stretches = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE, within)
        found = count_calls(dataset, stretches, STRIDE, logit(np.array(thresholds)))
        for label in wanted:
            i = model.labels.index(label)
            numbers = [f"{x[i]:.4f}" for x in (found.precision, found.recall)]
            yield (name, label, cutoff, found.calls[i], *numbers, found.peaks[i])

    rows = list(count("all", "everywhere", best))
    for path in args.within:
        inside, name = read_bed(path, dataset.genome.sizes, allow_missing=True), Path(path).name
        rows += count(name, "inside", best, inside)
        stretches = stretches_of(dataset, regions, logits, plan.receptive_field, STRIDE, inside)
        ladders, _ = measure_ladders(dataset, stretches, STRIDE, source.split["train"])
        thresholds = [ladders[label].best().threshold for label in model.labels]
        rows += count(name, "ladder", thresholds, inside)
    return rows


def tell(rule: str, graded: bool, rows: list[tuple]) -> None:
    """One line of means, of labels of grade A to C or of all that are called."""
    rows = [row for row in rows if row[3] is not None and (row[2] != "D" or not graded)]
    expected, calls, found, recall, peaks = (
        np.array([row[i] for row in rows], float) for i in (4, 5, 6, 7, 8)
    )
    judged = calls >= LEAST_CALLS
    right, hit = np.nansum(calls * found) / calls.sum(), np.nansum(peaks * recall) / peaks.sum()
    apart = np.abs(expected - found)[judged].mean()
    print(
        f"{rule}, {'grades A to C' if graded else 'all labels'}: {len(rows)} labels, "
        f"{calls.sum():.0f} calls, {right:.3f} right, recall {hit:.3f}; {judged.sum()} labels with "
        f"{LEAST_CALLS} calls: expected {expected[judged].mean():.3f}, found "
        f"{found[judged].mean():.3f}, apart {apart:.3f}"
    )


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    cases = flags.add_subparsers(required=True)
    case = cases.add_parser("motifs", help="of its attributions")
    case.add_argument("data", type=Path)
    case.add_argument("out", type=Path)
    case.add_argument("labels", nargs="*")
    case.add_argument("-m", "--model", default=DEFAULT_MODEL)
    case.set_defaults(run=motifs)
    case = cases.add_parser("table", help="of the motifs that were found")
    case.add_argument("found", type=Path, metavar="OUT/all")
    case.add_argument("picture", type=Path)
    case.set_defaults(run=table)
    case = cases.add_parser("calls", help="expected precision against what is found")
    case.add_argument("-m", "--model", default=DEFAULT_MODEL)
    case.add_argument("-g", "--genome", nargs="+", required=True)
    case.add_argument("--peaks", nargs="+", required=True)
    case.add_argument("--ambiguous", nargs="*", default=[])
    case.add_argument("--blacklist")
    case.add_argument("--split", required=True)
    case.add_argument("-o", "--output", type=Path, required=True)
    case.add_argument("--part", choices=("valid", "test"), default="valid")
    case.add_argument("-t", "--targets", type=lambda text: text.split(","), default=["all"])
    case.add_argument("--within", nargs="+", metavar="BED")
    case.set_defaults(run=calls)
    args = flags.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
