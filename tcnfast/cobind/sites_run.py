"""``tcnfast cobind sites``: from a model and real sites to which motif carries which label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.options import Run, labels_in_turn, setting
from ..base.run_folder import RECORD, RunFolder
from ..base.run_record import device_words
from ..base.tables import write_frame
from ..base.talk import count
from ..data.dataset import first_of_label
from ..genome.genome import Genome, match_chroms
from ..genome.intervals import Intervals, read_labelled
from ..pwm.meme import Motif
from ..pwm.motif_formats import read_motifs
from ..scan.scan_folder import ScanFolder
from . import InfluenceOptions
from .cobind_pages import write_influence_page
from .influence import InfluenceTable, measure_influence
from .inserted_sites import motifs_at, named_motifs
from .scrambles import known
from .window_scores import WindowScorer

log = logging.getLogger(__name__)


def motif_influence(
    genome: Sequence[str | Path],
    model: str | Path,
    out: str | Path,
    options: InfluenceOptions,
    run: Run,
) -> InfluenceTable:
    """See :func:`tcnfast.cobind.sites`."""
    if (options.scan is None) == (not options.peaks):
        raise TcnfastError(f"name {setting('scan')} or {setting('peaks')}: the sites to look at")
    scan = ScanFolder(options.scan) if options.scan else None
    path = motifs_at(options.motifs)
    scorer = WindowScorer.open(model, run)
    files = [*genome, path, *options.peaks, *([scan.path / RECORD] if scan else [])]
    asked = {k: v for k, v in asdict(options).items() if k not in ("motifs", "peaks", "scan")}
    with RunFolder(
        out, "cobind sites", run, key=lambda: scorer.key(model, files) | asked
    ) as folder:
        with Genome(*genome) as opened:
            sites = scan.sites(opened.sizes) if scan else _peaks(opened, options.peaks)
            windows = site_windows(opened, sites, scorer, options)
        chosen = _choose_motifs(read_motifs(path), options.names, list(windows), path)
        listed = ", ".join(motif.name for motif in chosen)
        labels, motifs = count(len(windows), "label"), count(len(chosen), "motif")
        log.info("%s, %s: %s", labels, motifs, listed)
        rows = measure_influence(scorer, windows, chosen, options, run.progress)
        found = InfluenceTable(rows)
        _write(found, folder.result)
        folder.publish({"device": device_words(scorer.plan.device)})
    log.info("tables and a page, index.html, in %s", folder.path)
    return found


def _peaks(genome: Genome, peaks: Sequence[str]) -> Intervals:
    sites = first_of_label([read_labelled(path) for path in peaks])
    # peaks may well cover more than the genome that is given
    here = np.isin(sites.chrom, list(genome.sizes))
    if not here.any():
        match_chroms(sites.chroms, genome.sizes, str(peaks[0]))
    return sites.take(here)


def site_windows(
    genome: Genome,
    sites: Intervals,
    scorer: WindowScorer,
    options: InfluenceOptions,
) -> dict[str, np.ndarray]:
    """Windows uint8 (n, RF) around the summits (middles where unknown) of each label's sites, at
    most ``max_sites`` drawn at random, without those that have an N within the reach.

    Without ``targets``: the labels of the model that have sites. Raises TcnfastError where a
    target, or every label, has fewer than ``min_sites``.
    """
    targets = options.targets and labels_in_turn(scorer.labels, options.targets)
    windows: dict[str, np.ndarray] = {}
    few = []
    present = set(sites.label.tolist())
    labels = [x for x in scorer.labels if x in present] if targets is None else targets
    for number, label in enumerate(labels):
        index = np.flatnonzero(sites.label == label)
        rng = np.random.default_rng([options.seed, number])
        index = np.sort(rng.permutation(index)[: options.max_sites])
        first = sites.centre - scorer.width // 2
        codes = [
            genome.codes(sites.chrom[i], first[i], first[i] + scorer.width) for i in index.tolist()
        ]
        found = np.array(codes, np.uint8).reshape(-1, scorer.width)
        found = found[known(found, options.reach)]
        if len(found) >= options.min_sites:
            windows[label] = found
        elif targets is not None:
            raise TcnfastError(
                f"label {label}: has {count(len(found), 'site')}, fewer than "
                f"{options.min_sites}; leave it out or lower {setting('min_sites')}"
            )
        else:
            few.append(f"{label} ({len(found)})")
    if few:
        words = "WARNING: left out for fewer than %s: %s"
        log.warning(words, count(options.min_sites, "site"), ", ".join(few))
    if not windows:
        raise TcnfastError(f"no label of the model has {count(options.min_sites, 'site')}")
    return windows


def _choose_motifs(
    motifs: list[Motif], names: Sequence[str] | None, labels: list[str], path: Path
) -> list[Motif]:
    if names is not None:
        return named_motifs(motifs, names, path)
    factors = dict.fromkeys(label.partition("@")[0] for label in labels)
    chosen = {}
    for factor in factors:
        # a factor's own motif before those of its dimers
        named = sorted(
            (motif for motif in motifs if motif.is_named(factor)), key=lambda m: "::" in m.name
        )
        if named:
            chosen[named[0].id] = named[0]
    if not chosen:
        words = "no motif is named for a factor of the labels"
        raise TcnfastError(f"{path}: {words}; give {setting('names')}")
    return list(chosen.values())


def _write(found: InfluenceTable, folder: Path) -> None:
    table = found.table
    table["own"] = table["own"].astype(int)
    for name in ("p", "q"):
        table[name] = table[name].map("{:.3g}".format)
    write_frame(folder / "influence.tsv", table, "%.4f")
    write_influence_page(folder, found)
