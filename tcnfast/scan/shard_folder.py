"""What ``--shard`` wrote for ``tcnfast merge``: finished stretches of a scan, or parts of other
work, and what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..base.errors import TcnfastError, some
from ..base.options import Run, setting
from ..base.run_folder import RunFolder, read_record
from .scan_folder import ZARR_FOLDER

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN
    from .job import Job
    from .stages import Stages

END = " --shard"  # of the command that is said to have written it
WORK = {"scan": "scan", "attribute": "attribution", "evaluate": "evaluation"}  # of each verb
VERBS = tuple(WORK)
SHARD = f"scan{END}"


class ShardFolder:
    """Part ``number`` of ``of`` of what ``verb`` does, a scan say, at ``path``. ``asked``: the
    genome, model and options; ``key``: what the bytes of the whole depend on.

    Raises TcnfastError in one line where the folder is no finished shard.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = read_record(self.path, *(f"{verb}{END}" for verb in VERBS))
        self.verb = self.record["key"]["command"].removesuffix(END)
        self.key: dict = {**self.record["key"], "command": self.verb}
        self.number, self.of = self.key.pop("shard")
        self.asked: dict = self.record["asked"]

    def __repr__(self) -> str:
        return f"ShardFolder({str(self.path)!r})"

    @property
    def work(self) -> str:
        """What messages call it."""
        return WORK[self.verb]

    @property
    def words(self) -> str:
        return f"shard {self.number}/{self.of}"


Options = TypeVar("Options")


@dataclass(frozen=True)
class Whole:
    """What ``tcnfast merge`` makes one output, ``out``, of: ``shards``, all there are, in order;
    ``genome`` and ``model`` where they have moved."""

    shards: Sequence[ShardFolder]
    out: str | Path
    genome: Sequence[str | Path] | None
    model: TCN | Ensemble | str | Path | None
    run: Run

    @property
    def verb(self) -> str:
        return self.shards[0].verb

    def options(self, kind: Callable[..., Options]) -> Options:
        """Those that the shards were made with."""
        return kind(**self.shards[0].asked["options"])

    def named(self, name: str) -> Any:
        """The ``genome`` or ``model`` that was given, or else the one that the shards name."""
        given = getattr(self, name)
        return self.shards[0].asked[name] if given is None else given


def whole_path(path: str | Path | None) -> str | None:
    """A path that holds from any folder; a bundled name, or nothing, as it is."""
    if path is None or not Path(path).exists():
        return None if path is None else str(path)
    return str(Path(path).absolute())


def whole_set(shards: Sequence[ShardFolder]) -> list[ShardFolder]:
    """The shards in their order. Raises TcnfastError where one is missing, there twice, or of
    another scan than the first."""
    if not shards:
        raise TcnfastError(f"no shard to merge; name the folders of tcnfast {VERBS[0]}{END}")
    first, found = shards[0], {}
    for shard in shards:
        if shard.of != first.of:
            raise TcnfastError(
                f"{shard.path}: is {shard.words}, but {first.path} is {first.words}; they are "
                "of different runs"
            )
        _check_same(shard, first)
        other = found.setdefault(shard.number, shard)
        if other is not shard:
            raise TcnfastError(f"{shard.path}: is {shard.words}, as {other.path} is; give one")
    missing = [str(number) for number in range(1, first.of + 1) if number not in found]
    if missing:
        raise TcnfastError(
            f"of {first.of} shards there is no {some(missing)}; "
            f"{setting('shard', f'{missing[0]}/{first.of}')} makes "
            f"{'it' if len(missing) == 1 else 'the first of them'}"
        )
    return [found[number] for number in sorted(found)]


def _check_same(shard: ShardFolder, first: ShardFolder) -> None:
    unlike = _unlike(shard.key, first.key)
    if unlike:
        raise TcnfastError(
            f"{shard.path}: is a shard of another {first.work} than {first.path}: {_words(unlike)}"
        )


def check_key(key: dict, shard: ShardFolder) -> None:
    """Raise TcnfastError where ``key``, of what is here now, is not that of the shards."""
    unlike = _unlike(key, shard.key)
    if unlike:
        raise TcnfastError(
            f"{shard.path}: the {shard.work} cannot be finished with what is here now: "
            f"{_words(unlike)}"
        )


def _unlike(key: dict, other: dict) -> list[str]:
    return [name for name in {**other, **key} if key.get(name) != other.get(name)]


def _words(names: Sequence[str]) -> str:
    listed = some(names)
    return f"{listed} {'differs' if len(names) == 1 else 'differ'}"


def publish_shard(job: Job, folder: RunFolder, stages: Stages) -> None:
    """Make the finished stretches of a run the output."""
    folder.settle()
    for stretch in job.mine:
        for path in (stretch.calls_file(folder.work), stretch.track_file(folder.work)):
            if path.exists():
                path.rename(folder.result / path.name)
    dense = folder.work / ZARR_FOLDER
    if dense.exists():
        dense.rename(folder.result / ZARR_FOLDER)
    job.inputs.check()
    options = asdict(job.options)
    for name in ("within", "motifs"):
        if options[name] is not None:
            options[name] = str(Path(options[name]).absolute())
    genome = [str(Path(path).absolute()) for path in job.genome.paths]
    job.publish(folder, stages, {"asked": {"genome": genome, "options": options, **job.about}})


def take_back(job: Job, folder: RunFolder) -> None:
    """Undo what :func:`publish_shard` had begun when it was stopped."""
    for stretch in job.mine:
        for path in (stretch.calls_file(folder.result), stretch.track_file(folder.result)):
            if path.exists():
                path.rename(folder.work / path.name)
