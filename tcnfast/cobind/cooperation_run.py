"""``tcnfast cobind motifs``: from a model and a motif file to the table of every pair."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..base.disk import save_arrays
from ..base.errors import TcnfastError
from ..base.options import Run
from ..base.run_folder import RunFolder
from ..base.run_record import device_words
from ..base.tables import write_frame
from ..base.talk import count
from ..genome.genome import Genome
from ..pwm.meme import Motif
from ..pwm.motif_formats import read_motifs
from . import CooperationOptions
from .backgrounds import draw_backgrounds
from .cobind_pages import write_cooperation_page
from .cooperation import CooperationTable, check_spans, measure_cooperation
from .inserted_sites import Site, distinct, motifs_at, named_motifs
from .window_scores import WindowScorer

log = logging.getLogger(__name__)

SCREENED_ON = 16  # backgrounds that a file's motifs are ranked on


def motif_cooperation(
    model: str | Path, out: str | Path, options: CooperationOptions, run: Run
) -> CooperationTable:
    """See :func:`tcnfast.cobind.motifs`."""
    path = motifs_at(options.motifs)
    known = read_motifs(path)
    scorer = WindowScorer.open(model, run)
    asked = {k: v for k, v in asdict(options).items() if k not in ("motifs", "genome")}
    files = [*options.genome, path]
    with RunFolder(
        out, "cobind motifs", run, key=lambda: scorer.key(model, files) | asked
    ) as folder:
        with Genome(*options.genome) if options.genome else nullcontext() as opened:
            pairs, backgrounds = _prepare(scorer, known, opened, options, path)
        table = measure_cooperation(
            scorer,
            backgrounds,
            pairs,
            options.max_gap,
            options.margin,
            permutations=options.permutations,
            seed=options.seed,
            progress=run.progress,
        )
        _write(table, folder.result)
        folder.publish({"device": device_words(scorer.plan.device), "windows": table.windows})
    log.info(
        "%s; tables and a page, index.html, in %s",
        count(table.windows, "window"),
        folder.path,
    )
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
    log.info("%s of %s", count(len(pairs), "pair"), ", ".join(motif.name for motif in chosen))
    words = "%d backgrounds (%s); no motif in them reaches more than %.0f %% of its best score"
    log.info(words, len(backgrounds), kind, 100 * left)
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
    write_frame(folder / "cooperation.tsv", table.table, "%.4g")
    write_frame(folder / "profiles.tsv", table.profiles, "%.4f")
    save_arrays(folder / "interaction.npz", table.arrays())
    write_cooperation_page(folder, table)
