"""What ``tcnfast scan --shard`` wrote for ``tcnfast merge``: finished stretches, and what was asked
of the scan."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.run_folder import RunFolder, read_record
from .scan_folder import ZARR_FOLDER

if TYPE_CHECKING:
    from .job import Job
    from .stages import Stages

SHARD = "scan --shard"  # the command that is said to have written it


class ShardFolder:
    """Part ``number`` of ``of`` of a scan at ``path``. ``asked``: the genome, model and options;
    ``key``: what the bytes of the whole scan depend on.

    Raises TcnfastError in one line where the folder is no finished shard.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = read_record(self.path, SHARD)
        self.key: dict = {**self.record["key"], "command": "scan"}
        self.number, self.of = self.key.pop("shard")
        self.asked: dict = self.record["asked"]

    def __repr__(self) -> str:
        return f"ShardFolder({str(self.path)!r})"

    @property
    def words(self) -> str:
        return f"shard {self.number}/{self.of}"


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
