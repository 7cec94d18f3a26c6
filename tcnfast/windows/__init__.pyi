"""Made by tests/base/test_types.py of the declarations; do not edit."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from tcnfast.attribute.attribution_folder import AttributionFolder
from tcnfast.base.options import Options, Run
from tcnfast.base.verb import File, Files
from tcnfast.model.model_folder import ModelFolder
from tcnfast.windows.evaluate_windows import WindowScores
from tcnfast.windows.study_folder import StudyFolder
from tcnfast.windows.window_build import PreparedWindows

def prepare(
    recipe: File,
    genome: Files,
    out: File,
    *,
    peaks: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    ambiguous: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    blacklist: str | PathLike[str] | None = None,
    split: str | PathLike[str] | None = None,
    manifest: str | PathLike[str] | None = None,
    encode: str | PathLike[str] | None = None,
    assembly: str | None = None,
    allow_audit_errors: bool = False,
    length: int | None = None,
    max_windows: int | None = None,
    min_peaks: int | None = None,
    seed: int | None = None,
    report: bool = False,
    force: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> PreparedWindows: ...
def train(
    windows: File,
    out: File,
    *,
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float = 0.003,
    weight_decay: float = 0.05,
    shift: int = 20,
    mutate: float = 0.05,
    ema: float = 0.0,
    patience: int = 0,
    max_windows: int = 0,
    seed: int = 0,
    arch: str = "tcn",
    mapping: str = "one-hot",
    shape: dict[str, Any] | None = None,
    faithful: bool = False,
    tensorboard: str | PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    force: bool = False,
    resume: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> ModelFolder: ...
def evaluate(
    windows: File,
    model: File,
    out: File | None = None,
    *,
    part: str = "valid",
    device: str = "auto",
    precision: str = "auto",
    force: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> WindowScores: ...
def study(
    study: File,
    out: File | None = None,
    *,
    data: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    test: bool = False,
    finished: bool = False,
    tables: bool = False,
    device: str = "auto",
    options: Options | None = None,
    run: Run | None = None,
) -> StudyFolder: ...
def attribute(
    genome: Files,
    model: File,
    out: File,
    *,
    bed: str | PathLike[str] | None = None,
    scan: str | PathLike[str] | None = None,
    targets: str | Sequence[str] | None = None,
    top: int | None = None,
    strand: str = "both",
    layers: str | Sequence[str] = (),
    device: str = "auto",
    force: bool = False,
    resume: bool = False,
    options: Options | None = None,
    run: Run | None = None,
) -> AttributionFolder: ...
