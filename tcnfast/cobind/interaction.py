"""Two sites in one window: every order, orientation and gap, and whether they cooperate.

The response to both sites is set against the sum of the responses to each alone, at the very same
places, all as logits over the empty background: I = AB - A - B + 0. On the scale of logits, I = 0
means that each site multiplies the odds of binding by its own factor.

Both strands are scored and averaged, so the eight ways to order and turn two sites are four: the
others are their reverse complements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .inserted_sites import Site
from .window_scores import Edit, WindowScorer

LEVEL = 0.95  # of intervals
# (left site is the first, left is turned, right is turned)
ARRANGEMENTS = {
    "A> B>": (True, False, False),
    "B> A>": (False, False, False),
    "A> <B": (True, False, True),
    "<A B>": (True, True, False),
}


@dataclass(frozen=True, eq=False)
class Responses:
    """What one pair does, float32 (arrangements, gaps, backgrounds, labels): logits over the empty
    background of ``first`` and ``second`` alone, and of ``both``."""

    first: np.ndarray
    second: np.ndarray
    both: np.ndarray

    @property
    def interaction(self) -> np.ndarray:
        """I of every window, float32, same shape."""
        return self.both - self.first - self.second


@dataclass(frozen=True, eq=False)
class Cooperation:
    """What one pair does to each label, arrays (labels,).

    ``arrangement`` and ``gap`` are where I is furthest from 0 on average over the backgrounds of
    even number; everything else about that place is measured on those of odd number, which did not
    choose it: the mean ``interaction``, its interval ``low`` to ``high``, its ``sd`` over
    backgrounds, two-sided ``p`` (one-sample t), and the responses. ``gap_from`` to ``gap_to`` are
    the gaps around it at which I is at least half as large; ``median`` is that of all arrangements
    and gaps: about as large where I does not depend on the distance.
    """

    arrangement: np.ndarray
    gap: np.ndarray
    gap_from: np.ndarray
    gap_to: np.ndarray
    first: np.ndarray
    second: np.ndarray
    both: np.ndarray
    interaction: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sd: np.ndarray
    p: np.ndarray
    median: np.ndarray

    @property
    def least(self) -> np.ndarray:
        """Size of the interaction at the end of the interval that is nearer to 0: float64
        (labels,), below 0 where the interval holds it."""
        return np.maximum(self.low, -self.high)

    @property
    def everywhere(self) -> np.ndarray:
        """Whether the median is at least half of the largest interaction: bool (labels,). If not,
        the interaction depends on the distance; where that is one gap of a few bases, look whether
        the two sites make a third one where they touch."""
        same = np.sign(self.median) == np.sign(self.interaction)
        return same & (np.abs(self.median) >= 0.5 * np.abs(self.interaction))

    def verdict(self, margin: float) -> np.ndarray:
        """One word a label, object (labels,): "synergy" or "sub-additive" where the whole interval
        lies beyond ``margin`` logits, "additive" where it lies within, else "unsure"."""
        words = np.full(len(self.p), "unsure", object)
        words[(self.low > -margin) & (self.high < margin)] = "additive"
        words[self.low > margin] = "synergy"
        words[self.high < -margin] = "sub-additive"
        return words


def placements(
    first: Site, second: Site, gaps: int, width: int
) -> list[tuple[tuple[int, bool], tuple[int, bool]]]:
    """Where the two sites begin, and whether each is turned, in order of arrangement, then gap;
    the pair's middle lies on the middle of the window."""
    places = []
    for first_is_left, turn_left, turn_right in ARRANGEMENTS.values():
        left, right = (first, second) if first_is_left else (second, first)
        for gap in range(gaps):
            start = width // 2 - (left.width + gap + right.width) // 2
            ends = (start, turn_left), (start + left.width + gap, turn_right)
            places.append(ends if first_is_left else ends[::-1])
    return places


class SingleResponses:
    """Logits of each site alone, each place and turn scored once for all pairs."""

    def __init__(self, scorer: WindowScorer, backgrounds: np.ndarray) -> None:
        self.scorer, self.backgrounds = scorer, backgrounds
        self.empty = scorer(backgrounds)
        self._known: dict[tuple[str, int, bool], np.ndarray] = {}

    def of(
        self, site: Site, places: Sequence[tuple[int, bool]], done: Callable[[int], None]
    ) -> np.ndarray:
        """Logits float32 (places, backgrounds, labels)."""
        keys = [(site.motif.id, *place) for place in places]
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        edits = [[(start, site.turned(turned))] for _, start, turned in missing]
        logits = self.scorer.edited(self.backgrounds, edits, done)
        self._known.update(zip(missing, logits, strict=True))
        return np.stack([self._known[key] for key in keys])


def measure_responses(
    singles: SingleResponses,
    first: Site,
    second: Site,
    gaps: int,
    done: Callable[[int], None] = lambda windows: None,
) -> Responses:
    """Responses to two sites at ``gaps`` gaps, 0 bp and up."""
    scorer, backgrounds = singles.scorer, singles.backgrounds
    places = placements(first, second, gaps, scorer.width)
    edits: list[list[Edit]] = [
        [(a, first.turned(turn_a)), (b, second.turned(turn_b))]
        for (a, turn_a), (b, turn_b) in places
    ]
    shape = len(ARRANGEMENTS), gaps, len(backgrounds), len(scorer.labels)
    alone = [
        singles.of(site, [place[index] for place in places], done)
        for index, site in enumerate((first, second))
    ]
    both = scorer.edited(backgrounds, edits, done)
    return Responses(*((x - singles.empty).reshape(shape) for x in (*alone, both)))


def judge(responses: Responses) -> Cooperation:
    """Find where the two sites interact most, and measure it on other backgrounds."""
    found = responses.interaction
    n_arrangements, gaps, _, labels = found.shape
    chosen = np.abs(found[:, :, ::2].mean(2)).reshape(-1, labels).argmax(0)
    arrangement, gap = np.divmod(chosen, gaps)
    label = np.arange(labels)
    held = found[arrangement, gap, 1::2, label].astype(np.float64)
    n = held.shape[1]
    mean, sd = held.mean(1), held.std(1, ddof=1)
    error = np.maximum(sd, 1e-12) / np.sqrt(n)
    reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    curve = found.mean(2)[arrangement, :, label]
    gap_from, gap_to = _half_width(curve, gap)

    def response(logits: np.ndarray) -> np.ndarray:
        return logits[arrangement, gap, 1::2, label].mean(1)

    return Cooperation(
        arrangement=arrangement,
        gap=gap,
        gap_from=gap_from,
        gap_to=gap_to,
        first=response(responses.first),
        second=response(responses.second),
        both=response(responses.both),
        interaction=mean,
        low=mean - reach,
        high=mean + reach,
        sd=sd,
        p=2 * stats.t.sf(np.abs(mean) / error, n - 1),
        median=np.median(found.mean(2).reshape(-1, labels), axis=0),
    )


def _half_width(curve: np.ndarray, peak: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last gap around ``peak`` (labels,) at which ``curve`` (labels, gaps) has the sign
    it has there and at least half the size."""
    top = np.take_along_axis(curve, peak[:, None], 1)
    low = curve * np.sign(top) < 0.5 * np.abs(top)
    gap, gaps = np.arange(curve.shape[1]), curve.shape[1]
    first = np.where(low & (gap < peak[:, None]), gap, -1).max(1) + 1
    last = np.where(low & (gap > peak[:, None]), gap, gaps).min(1) - 1
    return first, last
