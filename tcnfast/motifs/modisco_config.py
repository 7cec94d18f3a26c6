"""Settings of TF-MoDISco under its own names, light enough for a command line to import."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from ..base.errors import TcnfastError


def setting(default, words: str):
    return field(default=default, metadata={"help": words})


@dataclass(frozen=True)
class ModiscoConfig:
    """Arguments of ``modiscolite.tfmodisco.TFMoDISco``, under its names and with its defaults, but
    for ``n_leiden_runs``: 2, as its command line has it (its function has 50, which takes ten times
    as long; on labels of encode-v1 it gave the same motifs). And one of our own:

    ``window``: bases around the middle of each window of the attributions that are looked at; what
    lies further out is left away, and coordinates are kept.
    """

    window: int = setting(400, "bases around the middle of each window that are searched")
    sliding_window_size: int = setting(21, "bases of the core of a seqlet")
    flank_size: int = setting(10, "bases added to a seqlet on each side")
    target_seqlet_fdr: float = setting(0.2, "false discovery rate of seqlets")
    min_passing_windows_frac: float = setting(0.03, "least share of places that pass")
    max_passing_windows_frac: float = setting(0.2, "largest share of places that pass")
    weak_threshold_for_counting_sign: float = setting(0.8, "quantile that signs are counted from")
    min_metacluster_size: int = setting(100, "seqlets of one sign that it takes to go on")
    max_seqlets_per_metacluster: int = setting(20000, "most seqlets of one sign")
    n_leiden_runs: int = setting(2, "clusterings, of which the best is kept")
    n_leiden_iterations: int = setting(-1, "iterations of one; -1: until it stays")
    min_overlap_while_sliding: float = setting(0.7, "least overlap of two seqlets, aligned")
    nearest_neighbors_to_compute: int = setting(500, "neighbours of a seqlet")
    affmat_correlation_threshold: float = setting(0.15, "of coarse and fine similarity")
    tsne_perplexity: float = setting(10.0, "of the density adaptation")
    frac_support_to_trim_to: float = setting(0.2, "share of seqlets at the ends of a pattern")
    min_num_to_trim_to: int = setting(30, "seqlets at the ends of a pattern")
    trim_to_window_size: int = setting(30, "bases that a pattern is cut to")
    initial_flank_to_add: int = setting(10, "bases then added on each side")
    final_flank_to_add: int = setting(0, "bases added at the end")
    subcluster_perplexity: int = setting(50, "of clusters inside a pattern")
    merging_max_seqlets_subsample: int = setting(1000, "seqlets looked at to merge patterns")
    final_min_cluster_size: int = setting(20, "least seqlets of a pattern")
    min_ic_in_window: float = setting(0.6, "bits that a pattern must hold somewhere")
    min_ic_windowsize: int = setting(6, "over so many bases")
    ppm_pseudocount: float = setting(0.001, "of base shares, for these bits")

    def __post_init__(self) -> None:
        least = self.sliding_window_size + 2 * self.flank_size
        if self.window < least:
            raise TcnfastError(
                f"window {self.window}: must hold a seqlet, sliding_window_size + 2 flank_size = "
                f"{least} bp"
            )
        for name in ("sliding_window_size", "n_leiden_runs", "final_min_cluster_size"):
            if getattr(self, name) < 1:
                raise TcnfastError(f"{name} {getattr(self, name)}: must be at least 1")

    def arguments(self) -> dict:
        """All but ``window``, as TFMoDISco takes them."""
        arguments = asdict(self)
        del arguments["window"]
        return arguments
