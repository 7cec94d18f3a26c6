"""Settings of TF-MoDISco under its own names."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..base.errors import TcnfastError
from ..base.options import Options, option, setting

_GROUP = "TF-MoDISco: its parameters, under its own names"


def _parameter(default: float, help: str, least: float | None = None) -> Any:
    return option(default, help, least=least, unit="N", group=_GROUP)


@dataclass(frozen=True)
class ModiscoOptions(Options):
    """Arguments of ``modiscolite.tfmodisco.TFMoDISco``, under its names and with its defaults, but
    for ``n_leiden_runs``: 2, as its command line has it (its function has 50, which takes ten times
    as long; on labels of encode-v1 it gave the same motifs). And one of our own:

    ``window``: bases around the middle of each window of the attributions that are searched. What
    lies further out is left away; coordinates are kept.
    """

    window: int = _parameter(400, "bases around the middle of each window that are searched")
    sliding_window_size: int = _parameter(21, "bases of the core of a seqlet", least=1)
    flank_size: int = _parameter(10, "bases added to a seqlet on each side")
    target_seqlet_fdr: float = _parameter(0.2, "false discovery rate of seqlets")
    min_passing_windows_frac: float = _parameter(0.03, "least share of places that pass")
    max_passing_windows_frac: float = _parameter(0.2, "largest share of places that pass")
    weak_threshold_for_counting_sign: float = _parameter(0.8, "quantile from which signs count")
    min_metacluster_size: int = _parameter(100, "fewest seqlets of one sign that are clustered")
    max_seqlets_per_metacluster: int = _parameter(20000, "most seqlets of one sign")
    n_leiden_runs: int = _parameter(2, "clusterings, of which the best is kept", least=1)
    n_leiden_iterations: int = _parameter(-1, "iterations of a clustering; -1: until it is stable")
    min_overlap_while_sliding: float = _parameter(0.7, "least overlap of two seqlets, aligned")
    nearest_neighbors_to_compute: int = _parameter(500, "neighbours computed for a seqlet")
    affmat_correlation_threshold: float = _parameter(
        0.15, "least correlation of a seqlet's coarse and fine similarities"
    )
    tsne_perplexity: float = _parameter(10.0, "perplexity of the density adaptation")
    frac_support_to_trim_to: float = _parameter(
        0.2, "share of the seqlets that must reach both ends of a pattern"
    )
    min_num_to_trim_to: int = _parameter(
        30, "fewest seqlets that must reach both ends of a pattern"
    )
    trim_to_window_size: int = _parameter(30, "bases that a pattern is cut to")
    initial_flank_to_add: int = _parameter(10, "bases then added on each side")
    final_flank_to_add: int = _parameter(0, "bases added at the end")
    subcluster_perplexity: int = _parameter(50, "perplexity of the clusters in a pattern")
    merging_max_seqlets_subsample: int = _parameter(1000, "seqlets compared to merge patterns")
    final_min_cluster_size: int = _parameter(20, "least seqlets of a pattern", least=1)
    min_ic_in_window: float = _parameter(0.6, "bits that some window of a pattern must hold")
    min_ic_windowsize: int = _parameter(6, "bases of that window")
    ppm_pseudocount: float = _parameter(0.001, "pseudocount of base shares, for these bits")

    def check(self) -> None:
        least = self.sliding_window_size + 2 * self.flank_size
        if self.window < least:
            raise TcnfastError(
                f"{setting('window')} {self.window}: must hold a seqlet, sliding_window_size + "
                f"2 flank_size = {least} bp"
            )

    @property
    def parameters(self) -> dict[str, float]:
        """The settings above by name, whatever a subclass adds."""
        return {field.name: getattr(self, field.name) for field in fields(ModiscoOptions)}

    @property
    def arguments(self) -> dict[str, float]:
        """All but ``window``, as TFMoDISco takes them."""
        return {name: value for name, value in self.parameters.items() if name != "window"}
