"""``tcnfast cobind sites``: from a model and real sites to which motif carries which label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.figure import why_not
from ..base.run_folder import RECORD, file_hash
from ..data.dataset import first_of_label
from ..genome.genome import Genome, match_chroms
from ..genome.intervals import Intervals, read_labelled
from ..model.load_model import load_model
from ..pwm.meme import Motif, read_meme
from ..scan.scan_folder import ScanFolder
from .influence import Influence, InfluenceOptions, influence_rows, measure_influence
from .inserted_sites import motif_file, named_motifs
from .result_folder import result_folder
from .scan_calls import scan_calls
from .scrambles import known
from .window_scores import WindowScorer

log = logging.getLogger(__name__)


def motif_influence(
    model: str | Path,
    genome: Sequence[str | Path],
    motifs: str | Path | None,
    out: str | Path,
    *,
    scan: str | Path | None = None,
    peaks: Sequence[str | Path] = (),
    targets: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    options: InfluenceOptions | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
    progress: bool = False,
) -> list[Influence]:
    """At the sites of each label (``scan``: calls of a scan; or ``peaks``: labelled tables)
    scramble each motif in turn, and see how much further the label's logit falls than under
    scrambles of random pieces of the same width: influence.tsv and a picture, in ``out``.

    ``targets``: labels, all that have enough sites if None. ``names``: motifs of the file
    ``motifs`` (as of :func:`motif_cooperation`) by name or id; if None, the first that is named for
    each label's factor.
    """
    options = options or InfluenceOptions()
    if (scan is None) == (not peaks):
        raise TcnfastError("name --scan or --peaks: the sites to look at")
    if scan is not None:
        ScanFolder(scan)  # raises where it is none
    path = motif_file(motifs)
    scorer = WindowScorer(load_model(model), device=device, precision=precision, backend=backend)
    key = {
        **scorer.key(model),
        "command": "cobind sites",
        "inputs": _hashes([*genome, path, *peaks, *([Path(scan) / RECORD] if scan else [])]),
        "targets": None if targets is None else list(targets),
        "names": None if names is None else list(names),
        **asdict(options),
    }
    with Genome(*genome) as opened:
        sites = _read_sites(opened, scan, peaks)
        windows = site_windows(opened, sites, scorer, targets, options)
    chosen = _choose_motifs(read_meme(path), names, list(windows), path)
    log.info("%d labels, %d motifs: %s", len(windows), len(chosen),
             ", ".join(motif.name for motif in chosen))  # fmt: skip
    with result_folder(out, key, force) as (result, record):
        found = measure_influence(scorer, windows, chosen, options, progress)
        _write(found, result)
        record["device"] = run_record.device_words(scorer.plan.device)
    return found


def _hashes(paths: Sequence[str | Path]) -> list[tuple[str, str]]:
    return [(Path(path).name, file_hash(path)) for path in paths]


def _read_sites(genome: Genome, scan: str | Path | None, peaks: Sequence[str | Path]) -> Intervals:
    if scan is not None:
        return scan_calls(ScanFolder(scan), genome.sizes)
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
    targets: Sequence[str] | None,
    options: InfluenceOptions,
) -> dict[str, np.ndarray]:
    """Windows uint8 (n, RF) around the summits (middles where unknown) of each label's sites, at
    most ``max_sites`` drawn at random, without those that have an N within the reach.

    ``targets`` None: the labels of the model that have sites. Raises TcnfastError where a
    target, or every label, has fewer than ``min_sites``.
    """
    for label in targets or ():
        if label not in scorer.labels:
            raise TcnfastError(f"--targets: the model has no label {label!r}; see tcnfast info")
    windows: dict[str, np.ndarray] = {}
    few = []
    present = set(sites.label.tolist())
    labels = [x for x in scorer.labels if x in present] if targets is None else targets
    summit = np.where(sites.summit >= 0, sites.summit, (sites.start + sites.end) // 2)
    for number, label in enumerate(labels):
        index = np.flatnonzero(sites.label == label)
        rng = np.random.default_rng([options.seed, number])
        index = np.sort(rng.permutation(index)[: options.max_sites])
        half = scorer.width // 2
        codes = [
            genome.codes(sites.chrom[i], summit[i] - half, summit[i] - half + scorer.width)
            for i in index.tolist()
        ]
        found = np.array(codes, np.uint8).reshape(-1, scorer.width)
        found = found[known(found, options.reach)]
        if len(found) >= options.min_sites:
            windows[label] = found
        elif targets is not None:
            raise TcnfastError(
                f"label {label}: has {len(found)} sites, fewer than {options.min_sites}; leave it "
                "out or lower --min-sites"
            )
        else:
            few.append(f"{label} ({len(found)})")
    if few:
        log.warning("WARNING: left out for fewer than %d sites: %s", options.min_sites,
                    ", ".join(few))  # fmt: skip
    if not windows:
        raise TcnfastError(f"no label of the model has {options.min_sites} sites")
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
        raise TcnfastError(f"{path}: no motif is named for a factor of the labels; give --names")
    return list(chosen.values())


def _write(found: list[Influence], folder: Path) -> None:
    (folder / "influence.tsv").write_text("\n".join(influence_rows(found)) + "\n")
    reason = why_not()
    if reason:
        log.warning("WARNING: no picture: %s", reason)
        return
    from .influence_plots import draw_influence

    draw_influence(found).savefig(folder / "influence.png", dpi=130)
