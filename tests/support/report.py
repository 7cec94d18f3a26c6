"""Folders to report on, made by hand: motifs, attributions, an evaluation, a scan, a model."""

import json

import numpy as np

from support.motif import SITES, codes_of
from tcnfast.base.tables import write_rows
from tcnfast.evaluate.evaluation_folder import Curves
from tcnfast.motifs import motif_folder as files
from tcnfast.motifs import motif_tables as tables
from tcnfast.motifs.patterns import Pattern
from tcnfast.pwm.meme import Motif, write_meme
from tcnfast.pwm.similarity import Match

LABELS = ("ONE@x", "<b>&@y", "NONE@z")  # with motifs; with a name to be escaped; without motifs
ROWS = 40  # windows of the first label


def pattern_of(attributions, truth, name, motif, factor=1.0):
    """A pattern of the known sites of ``motif``, its core the 12 bases, read on their strand."""
    places = sorted(truth[motif])
    start = np.array([at for at, _ in places], np.int64)
    reverse = np.array([strand == "-" for _, strand in places])
    window = np.searchsorted(attributions.start, start, side="right") - 1
    shares = 0.9 * np.eye(4)[codes_of(SITES[motif])] + 0.025
    contributions = factor * (shares - 0.025)
    distance = start + 6 - attributions.centre[window]
    score = np.full(len(start), factor * 10, np.float32)
    chrom = attributions.chrom[window]
    return Pattern(
        name, shares, contributions, contributions, window, chrom, start, reverse, score, distance
    )


def match_of(motif, name, q, strand="+", offset=0):
    shares = 0.9 * np.eye(4)[codes_of(SITES[motif])] + 0.025
    shares = shares[::-1, ::-1] if strand == "-" else shares
    return Match(Motif(name, f"M_{name}", shares), q / 50, q, offset, 12, strand)


def write_folder(path, command, **more):
    path.mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text(
        json.dumps({"key": {"command": command, "targets": LABELS}, **more})
    )
    return path


def write_motifs(folder, one, two):
    for name in ("patterns", "seqlets"):
        (folder / name).mkdir()
    matches = {
        ("ONE@x", "pos_0"): [match_of("ONE", "ONE", 1e-9, "-"), match_of("TWO", "far", 0.5)],
        ("ONE@x", "pos_1"): [match_of("TWO", "TWO", 1e-5)],
        (LABELS[1], "neg_0"): [match_of("TWO", "near", 0.2)],
    }
    motif_rows, match_rows = [], []
    for found, name in ((one, "ONE@x"), (two, "_b__@y")):
        found.save(folder / "patterns" / f"{name}.npz")
        for pattern in found.patterns:
            ranked = matches[found.label, pattern.name]
            motif_rows.append(tables.motif_row(found.label, pattern, ranked))
            match_rows += tables.match_rows(found.label, pattern, ranked)
    known = {match.target.id: match.target for some in matches.values() for match in some}
    write_meme(folder / files.KNOWN, list(known.values()), [9] * len(known))
    write_rows(folder / files.MOTIFS, tables.MOTIF_COLUMNS, motif_rows)
    write_rows(folder / files.MATCHES, tables.MATCH_COLUMNS, match_rows)
    labels = [
        (one.label, 40, 2, 40, ""),
        (two.label, 12, 1, 12, ""),
        (LABELS[2], None, 0, 0, "too little of everything"),
    ]
    write_rows(folder / files.LABELS, tables.LABEL_COLUMNS, labels)


def write_evaluation(folder):
    means = {"ap": 0.321, "auroc": 0.876}
    macro = {name: {"value": x, "low": x - 0.01, "high": x + 0.01} for name, x in means.items()}
    summary = {"model": "made", "part": "valid", "macro": macro | {"ece": {"value": 0.01}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    counts = np.ones((2, 2, 3)) * [100, 30, 20]
    precision, edges = np.full((2, 3), 0.5), np.array([0, 0.5, 1])
    known = [LABELS[0], LABELS[2]], np.array([True, False]), np.array([0, 0.5, 1])
    Curves(*known, precision, edges, counts).write(folder / "curves.npz")
    lines = ["label\tAP\tAUROC\tchance\tAP_low\tAP_high"]
    lines += [f"{LABELS[0]}\t0.4321\t0.91\t0.01\t0.40\t0.45", f"{LABELS[2]}\tnan\tnan\t0\tnan\tnan"]
    (folder / "scores.tsv").write_text("\n".join(lines) + "\n")


def write_scan(folder, truth):
    (folder / "peaks").mkdir()
    at = min(at for at, _ in truth["ONE"])
    line = f"chr1\t{at - 20}\t{at + 40}\tcall\t900\t.\t0.9\t-1\t-1\t10\n"
    (folder / "peaks" / "ONE@x.narrowPeak").write_text(line)
    lines = ["label\tchrom\tthreshold\texpected_precision\tcalls\tbases\tgrade"]
    lines += [f"{LABELS[1]}\tall\tnan\tnan\t4321\t0\tD"]
    lines += ["ONE@x\tall\t0.3\t0.5\t1234\t9\tA", "ONE@x\tchr1\t0.3\t0.5\t1234\t9\tA"]
    (folder / "summary.tsv").write_text("\n".join(lines) + "\n")
