"""Co-binding: which factors act together, and through which motifs.

Three questions, each a command and a function here:

``tcnfast cobind pairs``    do two labels lie together more often than by chance, in peaks and in
                            the calls of a scan? :func:`co_occurrence`
``tcnfast cobind motifs``   do two motifs in one sequence do more than the sum of both, and at which
                            distance? :func:`motif_cooperation`
``tcnfast cobind sites``    at real sites, how far does a label fall when a motif, its own or a
                            partner's, is scrambled? :func:`motif_influence`
"""

from .cooperation_run import CooperationOptions, motif_cooperation
from .influence import InfluenceOptions
from .pairs_run import PairsOptions, co_occurrence
from .sites_run import motif_influence

__all__ = [
    "CooperationOptions",
    "InfluenceOptions",
    "PairsOptions",
    "co_occurrence",
    "motif_cooperation",
    "motif_influence",
]
