"""Folders that tcnfast writes: models, data sets, scans, attributions, motifs."""

from __future__ import annotations

from pathlib import Path

from ..attribute.attribution_folder import COMMANDS, AttributionFolder
from ..base.errors import TcnfastError, some
from ..base.run_folder import RECORD, file_hash, read_json
from ..base.talk import count
from ..data.prepared import DATASET, open_prepared
from ..genome.genome import Genome
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..motifs.motif_folder import MotifFolder
from ..scan.scan_folder import ScanFolder
from . import binary_files
from .findings import Findings


def folder(path: Path, found: Findings, genome: Genome | None) -> None:
    """A folder of any kind, by what lies in it."""
    key = read_json(path / RECORD).get("key")
    command = key.get("command") if isinstance(key, dict) else None
    if path.name.endswith(".partial"):
        found.kind = "unfinished run"
        mend = "the same command with --resume goes on with it, --force begins anew"
        raise TcnfastError(f"{path}: is a run that was not finished; {mend}")
    if ModelFolder.holds_model(path):
        _model(path, found)
    elif (path / DATASET).exists():
        _data_set(path, found)
    elif command == "scan":
        _scan(path, found, genome)
    elif command in COMMANDS:
        _attributions(path, found)
    elif command == "motifs":
        _motifs(path, found)
    elif isinstance(command, str):
        found.kind = f"output of tcnfast {command}"
        found.facts.append(f"finished: it has a {RECORD}")
    else:
        raise TcnfastError(f"{path}: is no folder that tcnfast writes; name the files in it")


def _model(path: Path, found: Findings) -> None:
    found.kind = "model folder"
    about = ModelFolder(path)
    if "arch" in about.config:
        found.kind = f"model folder of a network {about.config['arch']} (tcnfast windows)"
        words = f"{count(len(about.labels), 'label')}, {count(len(about.state()), 'tensor')}"
        found.facts.append(words)
        return
    model = load_model(about)
    weights = sum(tensor.numel() for tensor in model.parameters())
    found.facts.append(
        f"{count(len(model.labels), 'label')}, receptive field {model.receptive_field} bp, "
        f"{weights:,} weights: {some(model.labels)}"
    )
    if len(model.members) > 1:
        found.facts.append(f"an ensemble of {len(model.members)} networks")
    if model.thresholds is None:
        found.odd.append(
            "not calibrated, so a scan needs --cutoff P; tcnfast average MODEL -d DATA calibrates"
        )
    if model.calls is None:
        found.odd.append(
            "what its calls are worth was not measured: tcnfast evaluate -d DATA -m MODEL --grade"
        )
    else:
        grades = ", ".join(f"{n} {grade}" for grade, n in model.calls.counts().items())
        found.facts.append(f"labels by grade: {grades}")
    if model.home is None:
        found.odd.append("it does not say which genome it was trained on")
    else:
        found.facts.append(f"trained on {model.home.name}")


def _data_set(path: Path, found: Findings) -> None:
    found.kind = "data set of tcnfast prepare"
    dataset, split, record = open_prepared(path)
    bases = sum(dataset.genome.sizes.values())
    contigs = count(len(dataset.genome.sizes), "contig")
    found.facts.append(f"{count(len(dataset.labels), 'label')}, {contigs}, {bases:,} bases")
    for part, regions in split.items():
        found.facts.append(f"{part}: {count(len(regions), 'region')}")
        if not regions:
            found.odd.append(f"no region of part {part}")
    for name, digest in record.get("files", {}).items():
        if not (path / name).exists() or file_hash(path / name) != digest:
            found.wrong.append(f"{path / name}: is not what was written; prepare it again")


def _scan(path: Path, found: Findings, genome: Genome | None) -> None:
    found.kind = "scan"
    scan = ScanFolder(path)
    if scan.of_motifs:
        found.kind = "scan for motifs"
        counts = _totals(scan, "motif", "hits")
        read = {motif: len(scan.hits(motif)) for motif in scan.labels}
    else:
        counts = _totals(scan, "label", "calls")
        read = {label: len(scan.calls(label)) for label in scan.labels}
        for label, track in scan.tracks.items():
            if track.suffix == ".bw":
                binary_files.bigwig(track, Findings(str(track)), genome)
            elif not track.exists():
                found.wrong.append(f"{track}: is missing, the track of {label}; scan again")
    what = "hits" if scan.of_motifs else "calls"
    found.facts.append(
        f"{count(len(read), 'motif' if scan.of_motifs else 'label')}, {sum(read.values()):,} {what}"
    )
    for name, rows in read.items():
        if rows != counts.get(name, 0):
            found.wrong.append(
                f"{path}: {name} has {rows:,} {what} in its file and {counts.get(name, 0):,} in "
                "summary.tsv; scan again"
            )
    if genome is not None and not scan.of_motifs:
        scan.intervals(sizes=genome.sizes)


def _totals(scan: ScanFolder, name: str, column: str) -> dict[str, int]:
    table = scan.summary
    missing = [x for x in (name, "chrom", column) if x not in table]
    if missing:
        raise TcnfastError(f"{scan.path}: summary.tsv has no column {missing[0]!r}; scan again")
    whole = table[table["chrom"] == "all"]
    return dict(zip(whole[name], whole[column].fillna(0).astype(int), strict=True))


def _attributions(path: Path, found: Findings) -> None:
    found.kind = "attributions"
    made = AttributionFolder(path)
    for label, windows in made.windows.items():
        rows = len(made.attributions(label))
        if rows != windows:
            its = count(rows, "window")
            found.wrong.append(f"{path}: {label} has {its}, and {windows} by {RECORD}")
    windows = sum(made.windows.values())
    found.facts.append(
        f"{count(len(made.labels), 'label')}, {count(windows, 'window')}: {made.method}"
    )


def _motifs(path: Path, found: Findings) -> None:
    found.kind = "motifs"
    made = MotifFolder(path)
    found.facts.append(f"{count(len(made.meme), 'motif')} of {count(len(made.labels), 'label')}")
    for label, why in made.failed.items():
        found.odd.append(f"{label}: {why}")
    for label in made.labels:
        if label not in made.failed:
            made.patterns(label)
