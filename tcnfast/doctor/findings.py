"""What was found out about files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from ..base.errors import one_line
from ..genome.genome import Genome


def sizes_of(genome: Genome | None) -> dict[str, int] | None:
    """Contigs of the genome that a file must fit; None where there is none."""
    return None if genome is None else genome.sizes


@dataclass
class Findings:
    """What the file ``path`` is, facts about it, what is odd and what is wrong. A file is sound if
    nothing is wrong. One with oddities works, or can be mended as the oddity says."""

    path: str
    kind: str = "unknown"
    facts: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.wrong

    def text(self) -> str:
        """For a reader: a line for the file, and one for each finding."""
        lines = [f"{self.path}: {self.kind}: {'sound' if self.sound else 'NOT SOUND'}"]
        lines += [f"  {words}" for words in self.facts]
        lines += [f"  odd: {words}" for words in self.odd]
        lines += [f"  wrong: {words}" for words in self.wrong]
        return "\n".join(map(one_line, lines))


class Examined(list[Findings]):
    """Findings about several files."""

    def __init__(self, found: Iterable[Findings], as_json: bool = False) -> None:
        super().__init__(found)
        self.as_json = as_json

    @property
    def sound(self) -> bool:
        """Whether all of them are."""
        return all(one.sound for one in self)

    def __str__(self) -> str:
        if self.as_json:
            return json.dumps([asdict(one) | {"sound": one.sound} for one in self], indent=1)
        return "\n".join(one.text() for one in self)
