"""Motifs that a model has learned: from attributions to TF-MoDISco's patterns, their sites in the
genome, and the known motifs that they resemble. ``tcnfast motifs`` is :func:`find_motifs`."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from ..attribute.attributions import Attributions
from ..base import run_record
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.progress import Progress
from ..base.run_folder import OutputFolder, file_hash
from ..genome.genome import Genome
from ..genome.intervals import read_bed
from ..pwm.hits import find_hits
from ..pwm.meme import DATABASE, Motif, read_meme, write_meme
from ..pwm.tomtom import Match, best_matches
from ..scan.scan_folder import ScanFolder
from . import motif_tables as tables
from .modisco_config import ModiscoConfig
from .patterns import PatternSet
from .tfmodisco import TooFewSeqlets, discover, require_modisco

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MotifOptions:
    """What the motifs depend on, besides attributions.

    ``targets``: labels, all if None. ``motifs``: MEME file to compare with; the bundled JASPAR 2024
    vertebrates if None. ``regions``: where hits of the found motifs are looked for, a BED file, or
    the folder of a scan, of which each label has its own calls; ``genome``: FASTA files, for hits.
    """

    targets: list[str] | None = None
    motifs: str | Path | None = None
    regions: str | Path | None = None
    genome: tuple[str, ...] = ()
    modisco: ModiscoConfig = field(default_factory=ModiscoConfig)

    def __post_init__(self) -> None:
        if bool(self.regions) != bool(self.genome):
            raise TcnfastError("hits need both --regions and --genome")


@dataclass(frozen=True)
class MotifResult:
    """Where the motifs were written; ``failed``: label and reason where there was nothing to
    search (no attributions, too few seqlets)."""

    folder: Path
    failed: dict[str, str]


def find_motifs(
    attributions: str | Path,
    out: str | Path,
    options: MotifOptions | None = None,
    *,
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> MotifResult:
    """Run TF-MoDISco on every label of a folder of ``tcnfast attribute`` and write the folder
    ``out``.

    Writes motifs.tsv, matches.tsv, labels.tsv, motifs.meme (trimmed frequencies), matches.meme (the
    known motifs of matches.tsv), patterns/<label>.npz (:class:`PatternSet`: PFM, CWM, seqlets),
    seqlets/<label>.bed, hits/<label>.bed where ``options.regions`` are given, and run.json. A label
    that cannot be searched is told and left out; the others go on. Raises TcnfastError for bad
    input.
    """
    started = time.monotonic()
    options = options or MotifOptions()
    require_modisco()
    paths, missing = _find_labels(Path(attributions), options.targets)
    database = read_meme(options.motifs or DATABASE)
    key = _key(paths, options)
    output = OutputFolder(out, key, force, resume)
    failed = {label: "no attributions of it; tcnfast attribute makes them" for label in missing}
    for label, reason in failed.items():
        log.warning("WARNING: %s: %s", label, reason)
    if output.complete:
        log.info("%s is complete already", output.folder)
        return MotifResult(output.folder, failed | _read_failed(output.folder))
    found, poor = _search(paths, output.work, options.modisco, progress)
    failed |= poor
    result = output.work / "result"
    write_motifs(result, found, failed, database, options)
    output.publish(result, {
        "versions": run_record.versions() | {
            name: version(name) for name in ("modisco-lite", "memelite")
        },
        "attributions": str(attributions),
        "motifs": str(options.motifs or DATABASE.name),
        "failed": failed,
        "seconds": round(time.monotonic() - started, 1),
    })  # fmt: skip
    log.info("%d motifs of %d labels in %s", sum(len(x.patterns) for x in found.values()),
             len(found), output.folder)  # fmt: skip
    return MotifResult(output.folder, failed)


def _find_labels(folder: Path, wanted: list[str] | None) -> tuple[dict[str, Path], list[str]]:
    """Files of the labels to search, and labels that were asked for and are not there."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise TcnfastError(f"{folder}: holds no attributions (*.npz); tcnfast attribute makes them")
    labels = {Attributions.open(path).label: path for path in paths}
    if wanted is None:
        return labels, []
    missing = [label for label in wanted if label not in labels]
    if len(missing) == len(wanted):
        known = ", ".join(list(labels)[:5]) + (", ..." if len(labels) > 5 else "")
        raise TcnfastError(f"{folder}: has attributions of none of these labels; it has {known}")
    return {label: labels[label] for label in wanted if label in labels}, missing


def _search(
    paths: dict[str, Path], work: Path, config: ModiscoConfig, progress: bool
) -> tuple[dict[str, PatternSet], dict[str, str]]:
    """Patterns of every label, and why there are none; each label is kept in ``work`` once done."""
    found: dict[str, PatternSet] = {}
    poor: dict[str, str] = {}
    with Progress(len(paths), "labels", progress) as bar:
        for (label, path), name in zip(paths.items(), file_names(list(paths)), strict=True):
            kept, reason = work / f"{name}.npz", work / f"{name}.txt"
            if not kept.exists() and not reason.exists():
                try:
                    temporary = work / f"{name}.partial.npz"
                    discover(Attributions.open(path), config).save(temporary)
                    temporary.rename(kept)
                except TooFewSeqlets as error:
                    reason.write_text(str(error).removeprefix(f"{label}: "))
            if reason.exists():
                poor[label] = reason.read_text()
                log.warning("WARNING: %s: %s", label, poor[label])
            else:
                found[label] = PatternSet.open(kept)
            bar.update(1, label)
    return found, poor


def write_motifs(
    result: Path,
    found: dict[str, PatternSet],
    failed: dict[str, str],
    database: list[Motif],
    options: MotifOptions,
) -> None:
    """Everything that :func:`find_motifs` writes but run.json, from the patterns of all labels.

    ``failed``: label and reason of those without any; ``database``: motifs to compare with.
    """
    for folder in ("patterns", "seqlets", *(["hits"] if options.regions else [])):
        (result / folder).mkdir(parents=True, exist_ok=True)
    queries = [p.frequencies[p.core] for one in found.values() for p in one.patterns]
    matches = iter(best_matches(queries, database))
    motif_rows, match_rows, label_rows, motifs, sites = [], [], [], [], []
    known: dict[str, Motif] = {}
    for (label, one), name in zip(found.items(), file_names(list(found)), strict=True):
        names, own = {}, []
        for pattern in one.patterns:
            ranked = next(matches)
            row = tables.motif_row(label, pattern, ranked)
            names[pattern.name] = row["match_name"]
            motif_rows.append(row)
            match_rows += tables.match_rows(label, pattern, ranked)
            known |= {match.target.id: match.target for match in ranked[: tables.SHOWN]}
            own.append(pattern.motif(f"{name}.{pattern.name}", _best_name(ranked)))
            sites.append(len(pattern))
        motifs += own
        one.save(result / "patterns" / f"{name}.npz")
        (result / "seqlets" / f"{name}.bed").write_text(tables.seqlet_lines(one, names))
        if options.regions:
            text = tables.hit_lines(label, _hits(own, label, options))
            (result / "hits" / f"{name}.bed").write_text(text)
        label_rows.append(_label_row(label, one))
    for label, reason in failed.items():
        values = (label, "NA", "0", "0", reason)
        label_rows.append(dict(zip(tables.LABEL_COLUMNS, values, strict=True)))
    tables.write_table(result / tables.MOTIFS, tables.MOTIF_COLUMNS, motif_rows)
    tables.write_table(result / tables.MATCHES, tables.MATCH_COLUMNS, match_rows)
    tables.write_table(result / tables.LABELS, tables.LABEL_COLUMNS, label_rows)
    write_meme(result / tables.MEME, motifs, sites)
    write_meme(result / tables.KNOWN, list(known.values()), [0] * len(known))


def _label_row(label: str, found: PatternSet) -> dict[str, str]:
    seqlets = sum(len(pattern) for pattern in found.patterns)
    note = "" if found.patterns else "no cluster of seqlets held together"
    values = (label, str(found.windows), str(len(found.patterns)), str(seqlets), note)
    return dict(zip(tables.LABEL_COLUMNS, values, strict=True))


def _best_name(matches: list[Match]) -> str:
    return matches[0].target.name if matches else "unknown"


def _hits(motifs: list[Motif], label: str, options: MotifOptions) -> list:
    """Hits of one label's motifs, in the given regions or in its own calls of a scan."""
    with Genome(*options.genome) as genome:
        if not Path(options.regions).is_dir():
            return find_hits(genome, read_bed(options.regions, genome.sizes), motifs)
        scan = ScanFolder(options.regions)
        if label not in scan.called_labels:
            log.info("%s: no calls of %s, so no hits", scan.path, label)
            return []
        return find_hits(genome, scan.intervals(label, genome.sizes), motifs)


def _read_failed(folder: Path) -> dict[str, str]:
    """Labels of a finished output that could not be searched."""
    from ..base.tables import read_table

    rows = read_table(folder / tables.LABELS, tables.LABEL_COLUMNS)
    return {row["label"]: row["note"] for row in rows if row["windows"] == "NA"}


def _key(paths: dict[str, Path], options: MotifOptions) -> dict:
    """What the bytes of the result depend on."""
    regions = Path(options.regions) if options.regions else None
    if regions and not regions.exists():
        raise TcnfastError(f"--regions {regions}: no such BED file or folder of a scan")
    if regions and regions.is_dir():
        regions = regions / "run.json"
    return {
        "command": "motifs",
        "tcnfast": run_record.version(),
        "modisco-lite": version("modisco-lite"),
        "memelite": version("memelite"),
        "attributions": {label: file_hash(path) for label, path in paths.items()},
        "targets": options.targets,
        "motifs": file_hash(options.motifs or DATABASE),
        "regions": file_hash(regions) if regions else None,
        "genome": [file_hash(path) for path in options.genome],
        "modisco": asdict(options.modisco),
    }
