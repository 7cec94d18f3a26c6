"""Shape of a TCN: options of ``tcnfast train``, and what config.json of a model folder holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..base.errors import TcnfastError, shown
from ..base.options import option
from ..engines.grid import StackGrid, stack_grid

NORMS = ("batch", "weight")
ALIGNMENTS = ("centred", "causal")
SHAPE = "network"
_SYMMETRIC = (
    "make a network that scores both strands alike, so that one pass gives both; the reverse "
    "complement exchanges its channels in pairs"
)
_FIRST_KERNEL = "taps of the first convolution, about the width of a motif"


@dataclass(frozen=True)
class TCNShape:
    """What a user chooses of a TCN's shape."""

    channels: int = option(64, "channels of every block", unit="N", group=SHAPE)
    kernel_size: int = option(3, "taps of a convolution", unit="N", group=SHAPE)
    blocks: int = option(
        8, "blocks; the dilation doubles from each to the next", unit="N", group=SHAPE
    )
    first_kernel: int | None = option(None, _FIRST_KERNEL, kind=int, unit="N", group=SHAPE)
    norm: str = option("batch", "normalisation: batch or weight", unit="NAME", group=SHAPE)
    alignment: str = option(
        "centred",
        "position of its input that a residual adds: centred, or causal (the last)",
        unit="NAME",
        group=SHAPE,
    )
    dropout: float = option(0.0, "share of channels dropped in training", unit="P", group=SHAPE)
    symmetric: bool = option(False, _SYMMETRIC, group=SHAPE)


@dataclass(frozen=True)
class TCNConfig(TCNShape):
    """Shape of a TCN, and its labels.

    Args:
        channels: channels of every block.
        kernel_size: taps of a convolution, 2 or more.
        blocks: residual blocks; the dilation doubles from each to the next.
        first_kernel: taps of the first convolution; None: ``kernel_size``. It exceeds
            ``kernel_size``
            by an even number.
        norm: "batch" or "weight".
        alignment: "centred" or "causal": the position of its input that a residual adds.
        dropout: share of channels dropped in training, in [0, 1).
        symmetric: whether both strands score alike; needs an even number of channels.
        labels: names of the outputs, distinct.
        label_bin: bases around a centre that decide a training label.

    Raises:
        TcnfastError: for a shape that no network can have.
    """

    labels: list[str] = field(default_factory=list)
    label_bin: int = 200

    def __post_init__(self) -> None:
        if self.first_kernel is None:
            object.__setattr__(self, "first_kernel", self.kernel_size)
        object.__setattr__(self, "labels", list(self.labels))
        problem = self._problem()
        if problem:
            raise TcnfastError(f"TCNConfig: {problem}")

    def _problem(self) -> str | None:
        counts = ("channels", "kernel_size", "blocks", "first_kernel", "label_bin")
        for name in counts:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                return f"{name} {shown(repr(value))} must be a positive integer"
        if self.kernel_size < 2:
            return "kernel_size must be 2 or more"
        if self.blocks > 20:
            return f"blocks {shown(str(self.blocks))}: more than a megabase of context is a slip"
        for name, most in (("channels", 2**16), ("label_bin", 2**24), ("first_kernel", 2**20)):
            if getattr(self, name) > most:
                return f"{name} {shown(str(getattr(self, name)))}: more than {most} is a slip"
        if self.kernel_size << self.blocks > 2**26:
            return f"kernel_size {self.kernel_size}: so wide a receptive field is a slip"
        assert self.first_kernel is not None  # see __post_init__
        if self.first_kernel < self.kernel_size or (self.first_kernel - self.kernel_size) % 2:
            return (
                f"first_kernel {self.first_kernel} must exceed kernel_size {self.kernel_size} by "
                "an even number, so that windows have a middle base"
            )
        if self.norm not in NORMS:
            return f"norm {self.norm!r} must be one of {', '.join(NORMS)}"
        if self.alignment not in ALIGNMENTS:
            return f"alignment {self.alignment!r} must be one of {', '.join(ALIGNMENTS)}"
        if not isinstance(self.symmetric, bool):
            return f"symmetric {self.symmetric!r} must be true or false"
        if self.symmetric and self.channels % 2:
            return f"channels {self.channels} must be even: those of a symmetric network are pairs"
        if self.symmetric and self.alignment != "centred":
            return f"alignment {self.alignment!r}: a symmetric network must be centred"
        if not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            return f"dropout {self.dropout!r} must be in [0, 1)"
        if not self.labels or any(not isinstance(x, str) or not x for x in self.labels):
            return "labels must be a list of at least one name"
        odd = [x for x in self.labels if not x.isprintable()]
        if odd:
            return f"label {odd[0]!r} must be printable, without tabs or line breaks"
        if len(set(self.labels)) != len(self.labels):
            return "labels must be distinct"
        return None

    def grid(self, stride: int) -> StackGrid:
        """Where each convolution is evaluated for scores ``stride`` bases apart.

        Args:
            stride: spacing of scores in bp, a power of two.

        Returns:
            StackGrid: the grids of all blocks.

        Raises:
            TcnfastError: where stride is no power of two.
        """
        return stack_grid(self.kernel_size, self.blocks, stride, self.first_kernel)

    @property
    def receptive_field(self) -> int:
        """Bases that one score depends on; odd."""
        return self.grid(1).receptive_field
