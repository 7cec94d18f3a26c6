"""TF-MoDISco (Shrikumar et al. 2018, arXiv 1811.00416) on attributions, through modisco-lite 3."""

from __future__ import annotations

import numpy as np

from ..attribute.attributions import Attributions
from ..base.errors import TcnfastError
from ..base.extras import install
from ..base.options import setting
from ..base.talk import count
from ..genome.codes import N
from .modisco_options import ModiscoOptions
from .patterns import Pattern, PatternSet, core_of, first_of_each


class TooFewSeqlets(TcnfastError):
    """There is too little signal for a clustering; the message says how much there is."""


def require_modisco() -> None:
    """Raise TcnfastError where modisco-lite is missing or another package has its place."""
    try:
        import modiscolite
    except ImportError:
        raise TcnfastError(f"TF-MoDISco is not installed: {install('motifs')}") from None
    if int(modiscolite.__version__.partition(".")[0]) < 3:
        # the packages modisco and modisco-lite overwrite each other's files
        raise TcnfastError(
            f"modiscolite {modiscolite.__version__} is installed, needs 3: pip uninstall modisco "
            f"modisco-lite, then {install('motifs')}"
        )


def discover(attributions: Attributions, config: ModiscoOptions) -> PatternSet:
    """Patterns of one label. A window that occurs twice is searched once.

    The same bytes give the same patterns: all seeds are fixed. Raises TooFewSeqlets, and
    TcnfastError where the attributions are not finite or narrower than ``config.window``.
    """
    from modiscolite.tfmodisco import TFMoDISco

    rows = first_of_each(attributions.chrom, attributions.start)
    offset = _offset(attributions, config)
    one_hot, hypothetical = _tracks(attributions, rows, slice(offset, offset + config.window))
    if not np.isfinite(hypothetical).all():
        raise TcnfastError(f"{attributions.label}: attributions hold NaN or infinity")
    if not np.abs(one_hot * hypothetical).sum() > 0:
        raise TooFewSeqlets(f"{attributions.label}: all attributions are 0")
    found = TFMoDISco(one_hot, hypothetical, **config.arguments)
    if found == (None, None):
        raise TooFewSeqlets(_count_words(attributions.label, one_hot, hypothetical, config))
    first = attributions.start[rows] + offset
    chrom = np.asarray(attributions.chrom)[rows]
    patterns = []
    for sign, group in zip(("pos", "neg"), found, strict=True):
        for rank, raw in enumerate(group or []):
            patterns.append(_pattern(f"{sign}_{rank}", raw, rows, chrom, first, config.window))
    return PatternSet(attributions.label, len(rows), patterns)


def _offset(attributions: Attributions, config: ModiscoOptions) -> int:
    """First base looked at; a logit stands at base L // 2, and so does the middle of the rest."""
    width = attributions.codes.shape[1]
    if width < config.window:
        raise TcnfastError(
            f"{attributions.label}: windows of {width} bp are shorter than the {config.window} to "
            f"search; give {setting('window')}"
        )
    return width // 2 - config.window // 2


def _tracks(
    attributions: Attributions, rows: np.ndarray, part: slice
) -> tuple[np.ndarray, np.ndarray]:
    """One-hot bases and hypothetical contributions as TF-MoDISco takes them: float32
    (n, window, 4); N is a row of zeros in both."""
    codes = attributions.codes[rows, part]
    one_hot = np.eye(5, 4, dtype=np.float32)[codes]
    hypothetical = attributions.hypothetical[rows][:, :, part].transpose(0, 2, 1)
    hypothetical = np.ascontiguousarray(hypothetical, dtype=np.float32)
    hypothetical[codes == N] = 0
    return one_hot, hypothetical


def _count_words(label: str, one_hot, hypothetical, config: ModiscoOptions) -> str:
    """How many seqlets there are, as TFMoDISco counts them, which does not tell."""
    from modiscolite.extract_seqlets import extract_seqlets

    seqlets, _ = extract_seqlets(
        attribution_scores=(one_hot * hypothetical).sum(2),
        window_size=config.sliding_window_size,
        flank=config.flank_size,
        suppress=config.sliding_window_size // 2 + config.flank_size,
        target_fdr=config.target_seqlet_fdr,
        min_passing_windows_frac=config.min_passing_windows_frac,
        max_passing_windows_frac=config.max_passing_windows_frac,
        weak_threshold_for_counting_sign=config.weak_threshold_for_counting_sign,
    )
    return (
        f"{label}: {count(len(seqlets), 'seqlet')} in {count(len(one_hot), 'window')}, of both "
        f"signs; TF-MoDISco needs more than {config.min_metacluster_size} of one sign "
        "(min_metacluster_size): give more windows"
    )


def _pattern(
    name: str, raw, rows: np.ndarray, chrom: np.ndarray, first: np.ndarray, window: int
) -> Pattern:
    """A pattern of TF-MoDISco, its seqlets put back into the genome.

    ``rows``, ``chrom`` and ``first``: of the windows that it knows as examples 0, 1, ...: their
    row among the attributions, and the genome's coordinate of what it knows as base 0.
    """
    example = np.array([seqlet.example_idx for seqlet in raw.seqlets], np.int64)
    start = np.array([seqlet.start for seqlet in raw.seqlets], np.int64)
    reverse = np.array([bool(seqlet.is_revcomp) for seqlet in raw.seqlets])
    score = [seqlet.contrib_scores.sum() for seqlet in raw.seqlets]
    shares = np.asarray(raw.sequence, np.float64) + 1e-12  # a column of N alone sums to 0
    shares /= shares.sum(1, keepdims=True)
    core, width = core_of(raw.contrib_scores, shares), len(shares)
    middle = (core.start + core.stop) // 2
    return Pattern(
        name,
        shares,
        np.asarray(raw.contrib_scores, np.float64),
        np.asarray(raw.hypothetical_contribs, np.float64),
        rows[example],
        chrom[example],
        first[example] + start,
        reverse,
        np.array(score, np.float32),
        start + np.where(reverse, width - middle, middle) - window // 2,
    )
