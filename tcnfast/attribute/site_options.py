"""Options that say which sites are explained; of ``attribute`` and of ``windows attribute``."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import TcnfastError
from ..base.options import Options, option, setting, targets_option

_BED = "regions, for every label; a window is centred on the summit (narrowPeak) or the middle"
_STRAND = "explain the logit of the plus strand, or the mean of both strands' logits"


@dataclass(frozen=True)
class SiteOptions(Options):
    """Regions of a BED file, or the calls of a scan."""

    bed: str | None = option(None, _BED, unit="BED", short="-b")
    scan: str | None = option(
        None, "output of tcnfast scan: each label's own calls, best first", unit="DIR"
    )
    targets: tuple[str, ...] | None = targets_option()
    top: int | None = option(
        None, "only the first regions (of a scan, the best)", kind=int, unit="N", least=1
    )
    strand: str = option("both", _STRAND, choices=("+", "both"))

    def check(self) -> None:
        if (self.bed is None) == (self.scan is None):
            raise TcnfastError(f"give {setting('bed')} or {setting('scan')}, one of the two")
