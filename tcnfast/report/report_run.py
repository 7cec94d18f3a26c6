"""The run of ``tcnfast report``: what the folders hold, put on one page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from markupsafe import Markup

from ..attribute.attributions import Attributions
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.output_file import output_file
from ..base.pages import render_page
from ..base.tables import replace_file
from ..base.talk import count
from ..engines.plan import Plan
from ..evaluate.plots import draw_precision_recall, draw_reliability
from ..genome.genome import Genome
from ..genome.intervals import read_labelled
from ..model.load_model import load_model
from ..scan.igv_source import igv_source, igv_version
from . import ReportOptions
from .report_browser import LOCI_BYTES, pack_loci
from .report_inputs import ReportFolders, recognise
from .report_labels import label_table, ranked_labels
from .report_loci import Locus, LocusSources, example_loci
from .report_model import read_card, read_metrics
from .report_motifs import SIGNIFICANT, LabelMotifs, read_motifs
from .report_scan import read_scan

log = logging.getLogger(__name__)


def make_report(
    folders: Sequence[str | Path],
    model: str | None,
    out: str | Path,
    options: ReportOptions,
    run: Run,
) -> Path:
    """What :func:`tcnfast.report` does."""
    found = recognise(folders, model)
    if options.genome and found.model is None:
        raise TcnfastError(
            f"{setting('genome')}: predicted tracks need the model too, {setting('model')}"
        )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    out = output_file(out, run.force)
    network = load_model(found.model) if found.model else None
    metrics = read_metrics(found.evaluation, found.model)
    scan = read_scan(found.scan, options.targets)
    sections = _sections(found, options.targets)
    names = ranked_labels(scan, metrics, sections)
    if options.targets is not None:
        _check_targets(options.targets, names, found, folders)
        names = [name for name in names if name in options.targets]
    sections.sort(key=lambda section: names.index(section.label))
    title = options.title or (found.model.name if found.model else Path(folders[0]).name)
    loci, sizes = _read_loci(sections, found, options, network)
    shown, packed = pack_loci(title, loci, sizes, LOCI_BYTES)
    page = render_page(
        "report.html",
        title=title,
        card=read_card(found.model, network) if network else None,
        metrics=metrics,
        scan=scan,
        table=label_table(names, scan, metrics, sections),
        curves=_plots(found),
        sections=sections,
        searched=any(section.searched for section in sections),
        loci=loci,
        shown=shown,
        packed=packed,
        igv=igv_source() if shown else "",
        igv_version=igv_version(),
        runs=found.described(),
        counts={name: sum(x.verdict == name for x in sections) for name in ("own", "other")},
        significant=f"{SIGNIFICANT:g}",
    )
    replace_file(out, page.encode())
    log.info("%s: %s, %.1f MB", out, count(len(names), "label"), len(page) / 1e6)
    return out


def _sections(found: ReportFolders, targets: Sequence[str] | None) -> list[LabelMotifs]:
    """A section of every label with motifs, or with attributions alone."""
    if found.motifs is not None:
        return read_motifs(found.motifs, targets)
    windows = found.attributions.windows if found.attributions else {}
    return [
        LabelMotifs(label, n, "motifs were not looked for", [], searched=False)
        for label, n in windows.items()
        if targets is None or label in targets
    ]


def _check_targets(
    targets: Sequence[str],
    names: Sequence[str],
    found: ReportFolders,
    folders: Sequence[str | Path],
) -> None:
    missing = [label for label in targets if label not in names]
    if not missing:
        return
    if found.motifs is not None:
        raise TcnfastError(f"{found.motifs.path}: has no motifs of {missing[0]!r}")
    where = ", ".join(map(str, folders)) or found.model.path
    raise TcnfastError(f"{where}: nothing is known of label {missing[0]!r}")


def _plots(found: ReportFolders) -> list[tuple[str, Markup]]:
    """Captions and plots of an evaluation."""
    if found.evaluation is None or found.evaluation.curves is None:
        return []
    return [
        ("Precision and recall: grey lines are labels", draw_precision_recall(found.evaluation)),
        ("Bound share against probability", draw_reliability(found.evaluation)),
    ]


def _read_loci(
    sections: list[LabelMotifs], found: ReportFolders, options: ReportOptions, network
) -> tuple[dict[str, list[Locus]], dict[str, int]]:
    """Example loci of every label that has attributions, and sizes of the genome's contigs."""
    if found.attributions is None or options.loci < 1:
        return {}, {}
    peaks = read_labelled(options.peaks) if options.peaks else None
    loci = {}
    with Genome(*options.genome) if options.genome else nullcontext() as genome:
        plan = Plan(network, strand="both") if genome else None
        sources = LocusSources(genome, plan, peaks, found.scan)
        for section in sections:
            wanted = section.cards or not section.searched
            if wanted and section.label in found.attributions.labels:
                # the motifs' seqlets are rows of these very attributions
                attributions = found.attributions.attributions(section.label)
                _check_same(section, attributions, found)
                loci[section.label] = example_loci(section, attributions, options.loci, sources)
        return loci, dict(genome.sizes) if genome else {}


def _check_same(section: LabelMotifs, attributions: Attributions, found: ReportFolders) -> None:
    """Motifs point at rows of the attributions that they were found in."""
    for card in section.cards:
        pattern, n = card.pattern, len(attributions)
        inside = (pattern.window < n).all() and (
            (pattern.start >= attributions.start[pattern.window])
            & (attributions.chrom[pattern.window] == pattern.chrom)
        ).all()
        if not inside:
            raise TcnfastError(
                f"{found.motifs.path}: its motifs of {section.label} are not of the attributions "
                f"in {found.attributions.path}; give the folder that tcnfast motifs took"
            )
