"""Co-binding: which factors act together, and through which motifs.

Three questions, each a command and a function here:

``tcnfast cobind pairs``    do two labels lie together more often than by chance, in peaks and in
                            the calls of a scan? :func:`pairs`
``tcnfast cobind motifs``   do two motifs in one sequence do more than the sum of both, and at which
                            distance? :func:`motifs`
``tcnfast cobind sites``    at real sites, how far does a label fall when a motif, its own or a
                            partner's, is scrambled? :func:`sites`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.options import Run
from ..base.verb import GENOME, MODEL, OUT, verb
from ..data.data_options import DATA
from .cobind_options import CooperationOptions, InfluenceOptions, PairsOptions

if TYPE_CHECKING:
    from .cooperation import CooperationTable
    from .influence import Influence
    from .pair_table import PairTable

_DEVICE = ("device", "precision", "backend", "force")


@verb(
    "which labels lie together more often than by chance: tables, heat maps, networks",
    DATA,
    OUT,
    options=PairsOptions,
    run=("force",),
    command="cobind pairs",
)
def pairs(data=None, out="pairs/", *, options: PairsOptions, run: Run) -> dict[str, PairTable]:
    """Co-occurrence of all label pairs: "observed" of peaks, "predicted" of a scan's calls.

    ``data``: folder of ``tcnfast prepare``; None where ``genome`` and ``peaks`` name files (without
    peaks, only the scan is looked at). Writes, for each of the two, a table, a heat map and a
    network to the folder ``out``, and summary.json. Raises TcnfastError for bad input.
    """
    from .pairs_run import co_occurrence

    return co_occurrence(data, out, options, run)


@verb(
    "pairs of motifs inserted at all gaps, orders and orientations: do they cooperate?",
    MODEL,
    OUT,
    options=CooperationOptions,
    run=_DEVICE,
    command="cobind motifs",
)
def motifs(
    model="encode-v1", out="motifs/", *, options: CooperationOptions, run: Run
) -> CooperationTable:
    """Insert pairs of motifs at all gaps, orders and orientations into backgrounds, and write which
    label reacts with more, or less, than the sum: cooperation.tsv, profiles.tsv, interaction.npz
    and pictures, into the folder ``out``. Raises TcnfastError for bad input.
    """
    from .cooperation_run import motif_cooperation

    return motif_cooperation(model, out, options, run)


@verb(
    "at real sites: how far does a label fall when a motif there is scrambled?",
    GENOME,
    MODEL,
    OUT,
    options=InfluenceOptions,
    run=_DEVICE,
    command="cobind sites",
)
def sites(
    genome, model="encode-v1", out="sites/", *, options: InfluenceOptions, run: Run
) -> list[Influence]:
    """At the sites of each label scramble each motif in turn, and see how much further the label's
    logit falls than under scrambles of random pieces of the same width.

    Writes influence.tsv and a picture to the folder ``out``. Raises TcnfastError for bad input.
    """
    from .sites_run import motif_influence

    return motif_influence(genome, model, out, options, run)
