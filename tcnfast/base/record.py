"""What the run.json of a folder says, read with care: the folder may be a stranger's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from .errors import TcnfastError
from .options import setting


class Record(dict):
    """The object in the file at ``path``, or one inside of it. Raises TcnfastError for what it
    lacks."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> NoReturn:
        raise TcnfastError(f"{self.path}: damaged ({name!r} is missing); run it anew")

    def __reduce__(self) -> tuple:
        return Record, (dict(self), self.path)

    def names(self, name: str) -> list[str]:
        """The texts of a list, or those that name the values of an object."""
        value = self[name]
        if not isinstance(value, (list, dict)) or not all(isinstance(x, str) for x in value):
            raise TcnfastError(f"{self.path}: damaged ({name!r} must hold names); run it anew")
        return list(value)


def refuse_other_shard(
    out: Path, shard: tuple[int, int] | None, keys: Iterable[dict[str, Any]]
) -> None:
    """Raise TcnfastError where the output ``out``, by one of the keys of what is there, is or was
    to become another shard than this run's, which ``force`` would delete."""
    for key in keys if shard is not None else ():
        held = key.get("shard")
        if isinstance(held, list) and held != list(shard):
            raise TcnfastError(
                f"{out}: holds shard {'/'.join(map(str, held))}, which would be lost; give each "
                f"shard a folder of its own by {setting('out')}"
            )
