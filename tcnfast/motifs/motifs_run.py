"""Motifs that a model has learned: from attributions to TF-MoDISco's patterns, their sites in the
genome, and the known motifs that they resemble."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path

from ..attribute.attribution_folder import AttributionFolder
from ..base.disk import write_text
from ..base.errors import TcnfastError, some
from ..base.file_names import file_names
from ..base.options import Run, setting
from ..base.progress import Progress
from ..base.run_folder import RECORD, RunFolder, file_hash
from ..base.run_record import versions
from ..base.tables import write_rows
from ..base.talk import count
from ..base.version import __version__
from ..genome.genome import Genome
from ..genome.intervals import read_bed
from ..pwm.hits import HitFinder
from ..pwm.meme import DATABASE, Motif, write_meme
from ..pwm.motif_formats import motif_file, read_motifs
from ..pwm.similarity import best_matches
from ..scan.scan_folder import ScanFolder
from . import MotifOptions
from . import motif_folder as files
from . import motif_tables as tables
from .motif_folder import MotifFolder
from .patterns import PatternSet
from .tfmodisco import TooFewSeqlets, discover, require_modisco

log = logging.getLogger(__name__)

LIBRARIES = ("modisco-lite", "memelite")  # that motifs depend on


def find_motifs(
    attributions: str | Path, out: str | Path, options: MotifOptions, run: Run
) -> MotifFolder:
    """What :func:`tcnfast.motifs` does."""
    require_modisco()
    source = AttributionFolder(attributions)
    labels, failed = _chosen(source, options.targets)
    with RunFolder(
        out, "motifs", run, key=lambda: _key(source, labels, options), resumable=True
    ) as folder:
        if not folder.complete:
            database = read_motifs(options.motifs or DATABASE)
            folder.settle()
            _warn(failed)
            found, poor = _search(source, labels, folder.work, options, run.progress)
            write_motifs(folder.result, found, failed | poor, database, options)
            folder.publish(
                {
                    "versions": versions() | {name: version(name) for name in LIBRARIES},
                    "attributions": str(attributions),
                    "motifs": str(options.motifs or DATABASE.name),
                    "failed": failed | poor,
                }
            )
            total = sum(len(one.patterns) for one in found.values())
            words = count(total, "motif"), count(len(found), "label")
            log.info("%s of %s in %s", *words, folder.path)
    return MotifFolder(folder.path)


def _chosen(
    source: AttributionFolder, wanted: tuple[str, ...] | None
) -> tuple[list[str], dict[str, str]]:
    """Labels to search, and why the others that were asked for cannot be."""
    if wanted is None:
        return source.labels, {}
    labels = [label for label in wanted if label in source.windows]
    if not labels:
        raise TcnfastError(
            f"{source.path}: has attributions of none of these labels; it has {some(source.labels)}"
        )
    reason = "no attributions of it; tcnfast attribute makes them"
    return labels, {label: reason for label in wanted if label not in labels}


def _warn(failed: dict[str, str]) -> None:
    for label, reason in failed.items():
        log.warning("WARNING: %s: %s", label, reason)


def _search(
    source: AttributionFolder, labels: list[str], work: Path, options: MotifOptions, progress: bool
) -> tuple[dict[str, PatternSet], dict[str, str]]:
    """Patterns of every label, and why there are none; each label is kept in ``work`` once done."""
    found: dict[str, PatternSet] = {}
    poor: dict[str, str] = {}
    with Progress(len(labels), "label", progress) as bar:
        for label, name in zip(labels, file_names(labels), strict=True):
            kept, reason = work / f"{name}.npz", work / f"{name}.txt"
            if not kept.exists() and not reason.exists():
                try:
                    temporary = work / f"{name}.partial.npz"
                    discover(source.attributions(label), options).save(temporary)
                    temporary.rename(kept)
                except TooFewSeqlets as error:
                    write_text(reason, str(error).removeprefix(f"{label}: "))
            if reason.exists():
                poor[label] = reason.read_text()
                _warn({label: poor[label]})
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
    """Everything that a folder of motifs holds but run.json, from the patterns of all labels.

    ``failed``: label and reason of those without any; ``database``: motifs to compare with.
    """
    for path in files.label_files(result, "")[: 3 if options.regions else 2]:
        path.parent.mkdir(parents=True, exist_ok=True)
    queries = [p.frequencies[p.core] for one in found.values() for p in one.patterns]
    matches = iter(best_matches(queries, database))
    motif_rows, match_rows, motifs, sites = [], [], [], []
    known: dict[str, Motif] = {}
    for (label, one), name in zip(found.items(), file_names(list(found)), strict=True):
        names, own = {}, []
        for pattern in one.patterns:
            ranked = next(matches)
            motif_rows.append(tables.motif_row(label, pattern, ranked))
            match_rows += tables.match_rows(label, pattern, ranked)
            known |= {match.target.id: match.target for match in ranked[: tables.SHOWN]}
            names[pattern.name] = ranked[0].target.name if ranked else None
            own.append(pattern.motif(f"{name}.{pattern.name}", names[pattern.name] or "unknown"))
            sites.append(len(pattern))
        motifs += own
        paths = files.label_files(result, name)
        one.save(paths.patterns)
        seqlets = tables.seqlet_rows(one, names)
        write_rows(paths.seqlets, tables.SEQLET_COLUMNS, seqlets)
        if options.regions:
            hits = _hit_rows(own, label, options)
            write_rows(paths.hits, tables.HIT_COLUMNS, hits)
    label_rows = [tables.label_row(one) for one in found.values()]
    label_rows += [(label, None, 0, 0, reason) for label, reason in failed.items()]
    write_rows(result / files.MOTIFS, tables.MOTIF_COLUMNS, motif_rows)
    write_rows(result / files.MATCHES, tables.MATCH_COLUMNS, match_rows)
    write_rows(result / files.LABELS, tables.LABEL_COLUMNS, label_rows)
    write_meme(result / files.MEME, motifs, sites)
    write_meme(result / files.KNOWN, list(known.values()), [0] * len(known))


def _hit_rows(motifs: list[Motif], label: str, options: MotifOptions) -> list[tuple]:
    """Hits of one label's motifs, in the given regions or in its own calls of a scan."""
    with Genome(*options.genome) as genome:
        if Path(options.regions).is_dir():
            scan = ScanFolder(options.regions)
            if label not in scan.called_labels:
                log.info("%s: no calls of %s, so no hits", scan.path, label)
                return []
            regions = scan.intervals(label, genome.sizes)
        else:
            regions = read_bed(options.regions, genome.sizes, allow_missing=True)
        chrom, hits = HitFinder(motifs).hits_in(genome, regions)
    patterns = [motif.id.rpartition(".")[2] for motif in motifs]
    return tables.hit_rows(label, patterns, chrom, hits)


def _key(source: AttributionFolder, labels: list[str], options: MotifOptions) -> dict:
    """What the bytes of the result depend on."""
    regions = Path(options.regions) if options.regions else None
    if regions and not regions.exists():
        raise TcnfastError(f"{setting('regions')} {regions}: no such BED file or folder of a scan")
    if regions and regions.is_dir():
        regions = ScanFolder(regions).path / RECORD
    return {
        "tcnfast": __version__,
        **{name: version(name) for name in LIBRARIES},
        "attributions": {label: file_hash(source.files(label).arrays) for label in labels},
        "targets": options.targets,
        "motifs": file_hash(motif_file(options.motifs or DATABASE)),
        "regions": file_hash(regions) if regions else None,
        "genome": [file_hash(path) for path in options.genome],
        "modisco": options.parameters,
    }
