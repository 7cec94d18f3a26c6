"""Outputs of tcnfast in the files of other programs: what ``tcnfast convert`` does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ..attribute.attribution_folder import COMMANDS, AttributionFolder
from ..base.errors import TcnfastError
from ..base.file_names import file_names
from ..base.options import Run, chosen_labels, setting
from ..base.run_folder import RECORD, RunFolder, file_hash, read_json
from ..base.talk import count
from .motif_folder import MotifFolder
from .peer_files import write_patterns, write_windows

log = logging.getLogger(__name__)


def convert_folders(
    folders: Sequence[str | Path], out: str | Path, targets: tuple[str, ...] | None, run: Run
) -> Path:
    """See :func:`tcnfast.convert`."""
    runs = [_open(Path(folder)) for folder in folders]
    key = {"inputs": [file_hash(one.path / RECORD) for one in runs], "targets": targets}
    named = [_named(one, targets) for one in runs]
    _check_apart(runs, named)
    with RunFolder(out, "convert", run, key=lambda: key) as folder:
        for one, labels in zip(runs, named, strict=True):
            for label, name in labels.items():
                if isinstance(one, MotifFolder):
                    window = int(one.record["key"]["modisco"]["window"])
                    path = folder.result / f"{name}.modisco.h5"
                    write_patterns(path, one.patterns(label), window)
                else:
                    write_windows(folder.result, name, one.attributions(label))
            log.info("%s: %s", one.path, count(len(labels), "label"))
        folder.publish({"folders": [str(one.path) for one in runs]})
    return folder.path


def _named(one: AttributionFolder | MotifFolder, targets: tuple[str, ...] | None) -> dict[str, str]:
    """The labels of a run that are converted, and the name of each in files."""
    labels = [x for x in one.labels if x not in getattr(one, "failed", {})]
    labels = chosen_labels(labels, targets) if targets else labels
    return dict(zip(labels, file_names(labels), strict=True))


def _check_apart(
    runs: Sequence[AttributionFolder | MotifFolder], named: Sequence[dict[str, str]]
) -> None:
    """Raise TcnfastError where files of one run would replace those of another."""
    taken: dict[tuple[type, str], Path] = {}
    for one, labels in zip(runs, named, strict=True):
        for label, name in labels.items():
            other = taken.setdefault((type(one), name.lower()), one.path)
            if other is not one.path:
                raise TcnfastError(
                    f"{one.path}: its {label} would replace that of {other}; convert them one at a "
                    f"time, each to an {setting('out')} of its own"
                )


def _open(path: Path) -> AttributionFolder | MotifFolder:
    key = read_json(path / RECORD).get("key")
    command = key.get("command") if isinstance(key, dict) else None
    if command == "motifs":
        return MotifFolder(path)
    if command in COMMANDS:
        return AttributionFolder(path)
    raise TcnfastError(f"{path}: is no output of tcnfast attribute or tcnfast motifs")
