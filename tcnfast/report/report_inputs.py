"""The folders that a report is made of, told apart by what wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..attribute.attribution_folder import COMMANDS, AttributionFolder
from ..base.errors import TcnfastError
from ..base.options import setting
from ..base.run_folder import RECORD, read_json
from ..evaluate.evaluation_folder import EvaluationFolder
from ..model.model_folder import ModelFolder
from ..motifs.motif_folder import MotifFolder
from ..scan.scan_folder import ScanFolder

KINDS = {
    "motifs": ("motifs", MotifFolder),
    "evaluate": ("evaluation", EvaluationFolder),
    "scan": ("scan", ScanFolder),
    **dict.fromkeys(COMMANDS, ("attributions", AttributionFolder)),
}


@dataclass(frozen=True)
class ReportFolders:
    """What there is to report on; None: not given."""

    model: ModelFolder | None = None
    evaluation: EvaluationFolder | None = None
    scan: ScanFolder | None = None
    attributions: AttributionFolder | None = None
    motifs: MotifFolder | None = None

    def described(self) -> list[tuple[str, str]]:
        """Kind of each folder and a line about it."""
        folders = {field.name: getattr(self, field.name) for field in fields(self)}
        return [(kind, _words(x.path.name, x.record)) for kind, x in folders.items() if x]


def recognise(folders: Sequence[str | Path], model: str | None = None) -> ReportFolders:
    """Which folder holds what. ``model``: folder or bundled name, where it is not among them.

    Raises TcnfastError for a folder that is no output of tcnfast, or two of one kind.
    """
    found = ReportFolders()
    for folder in folders:
        kind, opened = _open(Path(folder))
        other = getattr(found, kind)
        if other is not None:
            raise TcnfastError(
                f"{folder}: {other.path} holds {kind} too; a report shows one of them"
            )
        found = replace(found, **{kind: opened})
    if model is not None:
        if found.model is not None:
            raise TcnfastError(
                f"{found.model.path}: {setting('model', model)} is there too; give one of the two"
            )
        found = replace(found, model=ModelFolder(model))
    if found == ReportFolders():
        raise TcnfastError(f"nothing to report on; name a folder, or {setting('model')}")
    return found


def _open(folder: Path) -> tuple[str, object]:
    if ModelFolder.holds_model(folder):
        return "model", ModelFolder(folder)
    key = read_json(folder / RECORD).get("key")
    command = key.get("command") if isinstance(key, dict) else None
    if command not in KINDS:
        raise TcnfastError(
            f"{folder}: no folder of tcnfast motifs, attribute, evaluate or scan, and no model: "
            "nothing to report"
        )
    kind, reader = KINDS[command]
    return kind, reader(folder)


def _words(name: str, record: dict) -> str:
    versions = record.get("versions", {})
    made = ("tcnfast", "modisco-lite", "memelite")
    words = [name, *(f"{x} {versions[x]}" for x in made if x in versions)]
    if "motifs" in record:
        words.append(f"compared with {Path(record['motifs']).name}")
    if "device" in record:
        words.append(record["device"])
    return ", ".join(words)
