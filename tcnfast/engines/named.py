"""Models as this room sees them, and how it gets one by name: it knows no folder of a model, so the
package says how one is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Protocol

from ..base.errors import TcnfastError

if TYPE_CHECKING:
    from . import reference
    from .grid import StackGrid


class Config(Protocol):
    """The sizes of a network."""

    @property
    def channels(self) -> int: ...
    def grid(self, stride: int) -> StackGrid: ...


class Member(Protocol):
    """A network that can be folded into a stack, as ``model.tcn.TCN``."""

    @property
    def config(self) -> Config: ...
    def folded(self) -> reference.StackWeights: ...


class Scored(Protocol):
    """What a plan is made of: networks with the same labels, whose logits are averaged."""

    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def receptive_field(self) -> int: ...
    @property
    def members(self) -> Sequence[Member]: ...


# opens a model folder or a bundled model; tcnfast/__init__.py sets it
opener: Callable[[str | PathLike[str]], Scored] | None = None


def as_model(model: Scored | str | PathLike[str]) -> Scored:
    """The model itself, or that of a folder or of a bundled name. Raises TcnfastError for anything
    else."""
    if isinstance(model, str | PathLike) and opener is not None:
        return opener(model)
    if not hasattr(model, "members"):
        raise TcnfastError(
            f"plan of {model!r}: give a model, a model folder, or the name of a bundled model"
        )
    return model
