"""The folders that a report is made of, told apart by their run.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.run_folder import RECORD
from ..model.model_folder import ModelFolder

KINDS = {"motifs": "motifs", "attribute": "attributions", "evaluate": "evaluation", "scan": "scan"}


@dataclass(frozen=True)
class ReportFolders:
    """What there is to report on; None: not given."""

    motifs: Path | None = None
    attributions: Path | None = None
    evaluation: Path | None = None
    scan: Path | None = None
    model: Path | None = None


def recognise(folders: Sequence[str | Path], model: str | None = None) -> ReportFolders:
    """Which folder holds what. ``model``: folder or bundled name, where it is not among them.

    Raises TcnfastError for a folder that is no output of tcnfast, or two of one kind.
    """
    found = ReportFolders()
    for folder in map(Path, folders):
        kind = _kind(folder)
        other = getattr(found, kind)
        if other is not None:
            raise TcnfastError(f"{folder}: {other} holds {kind} too; a report shows one of them")
        found = replace(found, **{kind: folder})
    if model is not None:
        if found.model is not None:
            raise TcnfastError(f"{found.model}: --model names {model}; give one of the two")
        found = replace(found, model=ModelFolder(model).path)
    return found


def _kind(folder: Path) -> str:
    if ModelFolder.holds_model(folder):
        return "model"
    command = read_record(folder).get("key", {}).get("command")
    if command not in KINDS:
        raise TcnfastError(
            f"{folder}: no folder of tcnfast {', '.join(KINDS)}, and no model: nothing to report"
        )
    return KINDS[command]


def read_record(folder: Path) -> dict:
    """run.json of a folder; empty where there is none."""
    try:
        return json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
