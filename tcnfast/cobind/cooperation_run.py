"""``tcnfast cobind motifs``: from a model and a motif file to the table of every pair."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..base import run_record
from ..base.errors import TcnfastError
from ..base.figure import why_not
from ..base.run_folder import file_hash
from ..genome.genome import Genome
from ..model.load_model import load_model
from ..pwm.meme import Motif, read_meme
from .backgrounds import KINDS, draw_backgrounds
from .cooperation import CooperationTable, check_spans, measure_cooperation
from .inserted_sites import Site, distinct, motif_file, named_motifs
from .result_folder import result_folder
from .window_scores import WindowScorer

log = logging.getLogger(__name__)

SCREENED_ON = 16  # backgrounds that a file's motifs are ranked on


@dataclass(frozen=True)
class CooperationOptions:
    """What an in-silico experiment depends on, besides the model and the motifs. ``pairs`` or
    ``names`` of motifs; else the ``top`` of the file, by what each does alone. ``background``: of
    KINDS; None is "shuffled" with a genome and "random" without."""

    names: tuple[str, ...] | None = None
    pairs: tuple[tuple[str, str], ...] | None = None
    top: int = 6
    background: str | None = None
    backgrounds: int = 50
    max_gap: int = 100
    margin: float = 1.0
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.background not in (None, *KINDS):
            raise TcnfastError(f"background {self.background!r}: must be one of {', '.join(KINDS)}")
        if self.names is not None and self.pairs is not None:
            raise TcnfastError("--names and --pairs exclude each other")
        if self.names is not None and len(self.names) < 2:
            raise TcnfastError("--names: a pair needs two motifs")
        if self.top < 2 or self.max_gap < 0 or not self.margin > 0:
            raise TcnfastError("--top must be at least 2, --max-gap at least 0, --margin above 0")


def motif_cooperation(
    model: str | Path,
    motifs: str | Path | None,
    out: str | Path,
    genome: Sequence[str | Path] = (),
    options: CooperationOptions | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    force: bool = False,
    progress: bool = False,
) -> CooperationTable:
    """Insert pairs of motifs at all gaps, orders and orientations into backgrounds, and write which
    label reacts with more, or less, than the sum: cooperation.tsv, profiles.tsv, interaction.npz
    and pictures, into the folder ``out``.

    ``motifs``: a MEME file, a folder of ``tcnfast motifs``, or None for the bundled JASPAR 2024.
    ``genome``: FASTA files that backgrounds are drawn from.
    """
    options = options or CooperationOptions()
    path = motif_file(motifs)
    known = read_meme(path)
    scorer = WindowScorer(load_model(model), device=device, precision=precision, backend=backend)
    key = {
        **scorer.key(model),
        "command": "cobind motifs",
        "inputs": [(Path(name).name, file_hash(name)) for name in (*genome, path)],
        **asdict(options),
    }
    with result_folder(out, key, force) as (result, record):
        with Genome(*genome) if genome else nullcontext() as opened:
            pairs, backgrounds = _prepare(scorer, known, opened, options, path)
        table = measure_cooperation(
            scorer, backgrounds, pairs, options.max_gap, options.margin,
            permutations=options.permutations, seed=options.seed, progress=progress,
        )  # fmt: skip
        _write(table, result)
        record["device"] = run_record.device_words(scorer.plan.device)
        record["windows"] = table.windows
    log.info("%d windows", table.windows)
    return table


def _prepare(
    scorer: WindowScorer,
    known: list[Motif],
    genome: Genome | None,
    options: CooperationOptions,
    path: Path,
) -> tuple[list[tuple[Site, Site]], np.ndarray]:
    """The pairs of sites, and backgrounds without them."""
    kind = options.background or ("shuffled" if genome else "random")
    draw = (scorer.width, options.seed, genome)
    if options.pairs is not None:
        flat = [name for pair in options.pairs for name in pair]
        chosen = named_motifs(known, list(dict.fromkeys(flat)), path)
        site = dict(zip(dict.fromkeys(flat), map(Site.of, chosen), strict=True))
        pairs = [(site[a], site[b]) for a, b in options.pairs]
    else:
        if options.names is not None:
            chosen = named_motifs(known, options.names, path)
        else:
            backgrounds, _ = draw_backgrounds(kind, SCREENED_ON, *draw, [])
            chosen = distinct(rank_motifs(scorer, known, backgrounds), options.top)
            if len(chosen) < 2:
                raise TcnfastError(f"{path}: holds no two motifs that differ; pairs need two")
        pairs = list(itertools.combinations(map(Site.of, chosen), 2))
    check_spans(pairs, options.max_gap, scorer.width)
    backgrounds, left = draw_backgrounds(kind, options.backgrounds, *draw, chosen)
    log.info("%d pairs of %s", len(pairs), ", ".join(motif.name for motif in chosen))
    log.info("%d backgrounds (%s); no motif in them reaches more than %.0f %% of its best score",
             len(backgrounds), kind, 100 * left)  # fmt: skip
    return pairs, backgrounds


def rank_motifs(
    scorer: WindowScorer, motifs: Sequence[Motif], backgrounds: np.ndarray
) -> list[Motif]:
    """Motifs by the largest change of a label's mean logit that each makes in the middle of the
    ``backgrounds``; those wider than the window, or without a strong column, are left out."""
    sites = []
    for motif in motifs:
        try:
            sites.append(Site.of(motif))
        except TcnfastError as error:
            log.warning("WARNING: %s", error)
    sites = [site for site in sites if site.width <= scorer.width]
    edits = [[((scorer.width - site.width) // 2, site.codes)] for site in sites]
    changes = scorer.edited(backgrounds, edits).mean(1) - scorer(backgrounds).mean(0)
    order = np.argsort(-np.abs(changes).max(1), kind="stable")
    return [sites[i].motif for i in order.tolist()]


def _write(table: CooperationTable, folder: Path) -> None:
    (folder / "cooperation.tsv").write_text("\n".join(table.rows()) + "\n")
    (folder / "profiles.tsv").write_text("\n".join(table.profiles()) + "\n")
    np.savez_compressed(folder / "interaction.npz", **table.arrays())
    reason = why_not()
    if reason:
        log.warning("WARNING: no pictures: %s", reason)
        return
    from . import cooperation_plots as plots

    plots.draw_overview(table).savefig(folder / "overview.png", dpi=130)
    plots.draw_profiles(table).savefig(folder / "profiles.png", dpi=130)
