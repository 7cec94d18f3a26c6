"""The run of ``tcnfast report``: what the folders hold, put on one page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from ..attribute.attributions import Attributions
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.output_file import output_file
from ..base.pages import render_page
from ..base.tables import replace_file
from ..base.talk import count
from ..engines.plan import Plan
from ..genome.genome import Genome
from ..genome.intervals import read_labelled
from ..model.load_model import load_model
from ..scan.scan_folder import ScanFolder
from . import ReportOptions
from .report_inputs import ReportFolders, recognise
from .report_loci import Locus, LocusSources, example_loci
from .report_model import read_card, read_metrics
from .report_motifs import SIGNIFICANT, LabelMotifs, read_motifs

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
    sections = read_motifs(found.motifs, options.targets) if found.motifs else []
    missing = set(options.targets or []) - {section.label for section in sections}
    if missing:
        where = found.motifs.path if found.motifs else "report"
        raise TcnfastError(f"{where}: has no motifs of {sorted(missing)[0]!r}")
    page = render_page(
        "report.html",
        title=options.title or (found.model.name if found.model else Path(folders[0]).name),
        card=read_card(found.model, network) if network else None,
        metrics=read_metrics(found.evaluation, found.model),
        sections=sections,
        loci=_read_loci(sections, found, options, network),
        calls=_read_calls(found.scan) if found.scan else [],
        runs=found.described(),
        counts={name: sum(x.verdict == name for x in sections) for name in ("own", "other")},
        significant=f"{SIGNIFICANT:g}",
    )
    replace_file(out, page.encode())
    labels = count(len(sections), "label")
    log.info("%s, %.1f MB; open %s in a browser", labels, len(page) / 1e6, out)
    return out


def _read_loci(
    sections: list[LabelMotifs], found: ReportFolders, options: ReportOptions, network
) -> dict[str, list[Locus]]:
    """Example loci of every label that has motifs and attributions."""
    if found.attributions is None or options.loci < 1:
        return {}
    peaks = read_labelled(options.peaks) if options.peaks else None
    loci = {}
    with Genome(*options.genome) if options.genome else nullcontext() as genome:
        plan = Plan(network, strand="both") if genome else None
        sources = LocusSources(genome, plan, peaks, found.scan)
        for section in sections:
            if section.cards and section.label in found.attributions.labels:
                # the motifs' seqlets are rows of these very attributions
                attributions = found.attributions.attributions(section.label)
                _check_same(section, attributions, found)
                loci[section.label] = example_loci(section, attributions, options.loci, sources)
    return loci


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


def _read_calls(scan: ScanFolder) -> list[dict]:
    """Rows of a scan's summary over all contigs, the label with most calls first."""
    summary = scan.summary
    whole = summary[summary["chrom"] == "all"].rename(columns={"expected_precision": "precision"})
    whole = whole.sort_values("calls", ascending=False, kind="stable")
    return whole[["label", "calls", "precision"]].to_dict("records")
