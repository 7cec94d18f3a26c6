"""Options of the tiles that training draws from a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import TcnfastError
from ..base.options import Options, option, seed_option, setting, stride_option

EDGES = ("hard", "soft", "mask")
STRANDS = ("one", "both", "mean")
TILES = "tiles"  # heading of the help

_EDGE = (
    "target of a bound bin that a peak covers in part. hard: bound; soft: the covered share; "
    "mask: bound, or left out where that share is under 3/4"
)
_STRANDS = (
    "one: a random strand of each tile; both: half as many tiles, each on both strands, with a "
    "loss for each strand; mean: the same, with one loss for the mean of the two logits"
)
_ENRICHED = "share of tiles placed over a bound peak"
_HARD = "share of tiles placed over the worst false positives of the last epoch"
_MUTATE = "share of a tile's bases replaced at random at the start; it falls to 0"
_UNLABELLED_SHARE = "share of tiles taken from sequence without labels, where there is some"


def count(default: int, help: str, group: str, unit: str = "N", least: int = 1) -> int:
    """A field of a whole number."""
    return option(default, help, unit=unit, least=least, group=group)


def _share(default: float, help: str) -> float:
    return option(default, help, unit="SHARE", group=TILES)


@dataclass(frozen=True)
class TileOptions(Options):
    """What tiles are drawn, see TileSampler. Bins of which peaks cover less than the label rule
    asks for are ambiguous and left out whatever ``edge`` says."""

    stride: int = stride_option()
    batch_size: int = count(64, "tiles of a batch", TILES)
    tile_steps: int = count(16, "scores of a tile", TILES)
    enriched: float = _share(0.7, _ENRICHED)
    label_power: float = option(
        0.5, "0 draws all labels equally often, 1 all peaks", unit="P", group=TILES
    )
    hard: float = _share(0.0, _HARD)
    mutate: float = _share(0.05, _MUTATE)
    unlabelled_share: float = _share(0.25, _UNLABELLED_SHARE)
    edge: str = option("hard", _EDGE, choices=EDGES, group=TILES)
    strands: str = option("one", _STRANDS, choices=STRANDS, group=TILES)
    seed: int = seed_option("weights, tiles and dropout")

    def check(self) -> None:
        for name in ("enriched", "hard", "mutate", "unlabelled_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TcnfastError(f"{self.named(name)}: must be within 0 and 1")
        if self.enriched + self.hard > 1:
            raise TcnfastError(
                f"{self.named('enriched')} and {self.named('hard')}: shares of the tiles over 1"
            )
        if self.strands != "one" and self.batch_size % 2:
            raise TcnfastError(
                f"{self.named('batch_size')}: must be even, as {self.named('strands')} pairs tiles"
            )

    def named(self, name: str) -> str:
        """An option with its value, as a message writes it."""
        return f"{setting(name)} {getattr(self, name)}"
