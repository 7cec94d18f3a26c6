"""One HTML page about a model and what it has learned, from the folders that other commands wrote.

The page holds everything: drawings are inline SVG, and nothing is fetched when it is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..attribute.attributions import Attributions
from ..base.errors import TcnfastError
from ..base.pages import render_page
from ..base.tables import replace_file
from ..engines.plan import Plan
from ..genome.genome import Genome
from ..genome.intervals import read_labelled
from ..model.load_model import load_model
from ..scan.scan_folder import ScanFolder
from .report_inputs import ReportFolders, read_record, recognise
from .report_loci import Locus, LocusSources, example_loci
from .report_model import Metrics, ModelCard, read_card, read_metrics
from .report_motifs import SIGNIFICANT, LabelMotifs, read_motifs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportOptions:
    """What the page shows besides the folders.

    ``model``: folder or bundled name; ``genome``: FASTA files, for predicted tracks of loci (needs
    the model); ``peaks``: a labelled peak table, as training takes; ``targets``: labels, all if
    None; ``loci``: examples for each label, a motif each.
    """

    model: str | None = None
    genome: tuple[str, ...] = ()
    peaks: str | Path | None = None
    targets: list[str] | None = None
    loci: int = 3
    title: str | None = None


def make_report(
    folders: Sequence[str | Path],
    out: str | Path,
    options: ReportOptions | None = None,
    *,
    force: bool = False,
) -> Path:
    """Write the page ``out`` about ``folders``: of ``tcnfast motifs``, ``attribute``, ``evaluate``,
    ``scan``, and a model, at most one of each, in any order.

    Raises TcnfastError for other folders, labels that are nowhere, and an ``out`` that exists,
    unless ``force``.
    """
    options, out = options or ReportOptions(), Path(out)
    if out.exists() and not force:
        raise TcnfastError(f"{out}: exists; give another -o/--output, or --force to replace it")
    found = recognise(folders, options.model)
    if found == ReportFolders():
        raise TcnfastError("report: nothing to report on; name a folder, or --model")
    if options.genome and found.model is None:
        raise TcnfastError("--genome: predicted tracks need the model too, -m/--model")
    network = load_model(found.model) if found.model else None
    sections = read_motifs(found.motifs, options.targets) if found.motifs else []
    _check_targets(options.targets, found, sections)
    page = render(
        title=options.title or (found.model or Path(folders[0])).name,
        card=read_card(found.model, network) if network else None,
        metrics=read_metrics(found.evaluation, found.model),
        sections=sections,
        loci=_read_loci(sections, found, options, network),
        calls=_read_calls(found),
        runs=_describe_runs(found),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, page.encode())
    log.info("%s: %d labels, %.1f MB", out, len(sections), len(page) / 1e6)
    return out


def render(
    *,
    title: str,
    card: ModelCard | None,
    metrics: Metrics,
    sections: list[LabelMotifs],
    loci: dict[str, list[Locus]],
    calls: list[dict],
    runs: list[tuple[str, str]],
) -> str:
    """The page as text."""
    counts = {name: sum(x.verdict == name for x in sections) for name in ("own", "other")}
    return render_page(
        "report.html",
        title=title,
        card=card,
        metrics=metrics,
        sections=sections,
        loci=loci,
        calls=calls,
        runs=runs,
        counts=counts,
        significant=f"{SIGNIFICANT:g}",
    )


def _check_targets(
    targets: list[str] | None, found: ReportFolders, sections: list[LabelMotifs]
) -> None:
    missing = set(targets or []) - {section.label for section in sections}
    if missing:
        raise TcnfastError(f"{found.motifs or 'report'}: has no motifs of {sorted(missing)[0]!r}")


def _read_loci(
    sections: list[LabelMotifs], found: ReportFolders, options: ReportOptions, network
) -> dict[str, list[Locus]]:
    """Example loci of every label that has motifs and attributions."""
    if found.attributions is None or options.loci < 1:
        return {}
    # the motifs' seqlets are rows of these very attributions
    paths = {Attributions.open(path).label: path for path in found.attributions.glob("*.npz")}
    peaks = read_labelled(options.peaks) if options.peaks else None
    genome = Genome(*options.genome) if options.genome else None
    plan = Plan(network, strand="both") if genome else None
    scan = ScanFolder(found.scan) if found.scan else None
    sources = LocusSources(genome, plan, peaks, scan)
    loci = {}
    try:
        for section in sections:
            if section.cards and section.label in paths:
                attributions = Attributions.open(paths[section.label])
                _check_same(section, attributions, found)
                loci[section.label] = example_loci(section, attributions, options.loci, sources)
    finally:
        if genome:
            genome.close()
    return loci


def _check_same(section: LabelMotifs, attributions: Attributions, found: ReportFolders) -> None:
    """Motifs point at rows of the attributions that they were found in."""
    for card in section.cards:
        pattern, n = card.pattern, len(attributions.start)
        inside = (pattern.window < n).all() and (
            (pattern.start >= attributions.start[pattern.window])
            & (attributions.chrom[pattern.window] == pattern.chrom)
        ).all()
        if not inside:
            raise TcnfastError(
                f"{found.motifs}: its motifs of {section.label} are not of the attributions in "
                f"{found.attributions}; give the folder that tcnfast motifs took"
            )


def _read_calls(found: ReportFolders) -> list[dict]:
    """Rows of a scan's summary over all contigs, the label with most calls first."""
    if found.scan is None:
        return []
    summary = ScanFolder(found.scan).summary
    whole = summary[summary["chrom"] == "all"].rename(columns={"expected_precision": "precision"})
    whole = whole.sort_values("calls", ascending=False, kind="stable")
    return whole[["label", "calls", "precision"]].to_dict("records")


def _describe_runs(found: ReportFolders) -> list[tuple[str, str]]:
    """What the page was made from: kind and a line about it."""
    runs = []
    for kind in ("model", "evaluation", "scan", "attributions", "motifs"):
        folder = getattr(found, kind)
        if folder is None:
            continue
        record = read_record(folder)
        words = [folder.name]
        versions = record.get("versions", {})
        if "tcnfast" in versions:
            words.append(f"tcnfast {versions['tcnfast']}")
        words += [f"{name} {versions[name]}" for name in ("modisco-lite", "memelite")
                  if name in versions]  # fmt: skip
        if "motifs" in record:
            words.append(f"compared with {Path(record['motifs']).name}")
        if "device" in record:
            words.append(record["device"])
        runs.append((kind, ", ".join(words)))
    return runs
