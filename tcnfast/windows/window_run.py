"""``tcnfast train --windows``: any network of ``--arch`` on a window set, to a folder."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder, file_hash
from ..base.run_record import versions
from ..model.load_model import load_model
from ..model.metrics import LabelScores
from ..model.model_folder import CONFIG, WEIGHTS, ModelFolder
from ..model.tcn import TCN
from ..train.epochs import EpochLog
from .architectures import build, count_parameters
from .window_config import ARTICLE, WindowConfig
from .window_fit import fit_windows, parts_to_fit
from .window_set import WINDOWS, WindowSet

log = logging.getLogger(__name__)

# the wavelet article's training (Ruggeri 2025): facts of its code
ARTICLE_TRAINING = {
    "protocol": ARTICLE,
    "epochs": 20,
    "batch": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
}


def train_on_windows(
    out: str,
    windows: str,
    arch: str,
    *,
    mapping: str = "one-hot",
    shape: dict | None = None,
    config: dict | None = None,
    device: str = "auto",
    tensorboard: str | None = None,
    faithful: bool = False,
    force: bool = False,
) -> Path:
    """Train on the window set in the folder ``windows`` and write ``out``; returns its path.

    ``shape``: settings of the network; ``config``: of WindowConfig; ``faithful``: the wavelet
    article's network and protocol, flaws and all. A plain TCN becomes a model
    folder, not calibrated, that every command takes; any other network one of the same files that
    :func:`load_window_model` opens. Scores are of the validation part, and the test part is not
    touched; of a faithful training they are of the test part, which chose the epoch.
    """
    if faithful:
        shape, config = _faithful(arch, shape or {}, config or {})
    settings, found = WindowConfig(**(config or {})), WindowSet.open(windows)
    torch.manual_seed(settings.seed)
    model = build(arch, found.names, found.length, mapping, shape)
    kind = {"arch": arch, "mapping": mapping, "length": found.length, "shape": shape or {}}
    key = {"command": "train", "inputs": [file_hash(Path(windows) / WINDOWS)], **kind,
           "config": asdict(settings)}  # fmt: skip
    output = OutputFolder(out, key, force, resume=None)
    result, started = output.work / "result", time.monotonic()
    log.info("%s: %s parameters, %d labels, windows of %d bp", arch,
             f"{count_parameters(model):,}", len(found.names), found.length)  # fmt: skip
    try:
        result.mkdir()
        epochs = EpochLog(result, tensorboard, settings.choosing_part)
        trained = fit_windows(model, *parts_to_fit(found, settings), settings, device, epochs.add)
        save_window_model(model.cpu(), result, kind)
        scores = trained.epochs[trained.best].scores
        _write_scores(result / f"scores.{settings.choosing_part}.tsv", scores)
    except BaseException:
        output.discard()
        raise
    part = settings.choosing_part
    record = {"versions": versions(), "seconds": round(time.monotonic() - started, 1),
              "parameters": count_parameters(model),
              f"{part}_macro_ap": round(scores.macro("ap"), 4)}  # fmt: skip
    output.publish(result, record)
    log.info("macro-AP on %s %.4f; model in %s", part, scores.macro("ap"), output.folder)
    return output.folder


def _faithful(arch: str, shape: dict, config: dict) -> tuple[dict, dict]:
    """``shape`` and ``config`` of the article's training; what was given wins."""
    if arch != "wavelet":
        raise TcnfastError(
            f"--faithful: goes with --arch wavelet, the network of the article, not {arch}"
        )
    words = "the epoch is chosen on the test part, as in the article: its scores are too good"
    log.warning("WARNING: --faithful: %s", words)
    return {**shape, "faithful": True}, {**ARTICLE_TRAINING, **config}


def save_window_model(model: nn.Module, folder: Path, kind: dict) -> None:
    """Write safetensors, JSON and labels; ``kind`` holds the arguments of ``build``."""
    if isinstance(model, TCN):
        for module in list(model.modules()):
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
        model.save(folder)
        return
    ModelFolder.write(folder, model.state_dict(), kind, model.labels)


def open_window_model(folder: str | Path | ModelFolder) -> nn.Module:
    """The network in a folder that ``tcnfast train`` wrote: a TCN, or any other of ``--arch``.
    Raises TcnfastError where it holds none."""
    folder = folder if isinstance(folder, ModelFolder) else ModelFolder(folder)
    return load_window_model(folder) if "arch" in folder.config else load_model(folder)


def load_window_model(folder: str | Path | ModelFolder) -> nn.Module:
    """The network of a folder that :func:`save_window_model` wrote, but for plain TCNs, which
    ``tcnfast.load_model`` opens; its ``length`` is that of the windows it reads. Raises
    TcnfastError for anything else."""
    folder = folder if isinstance(folder, ModelFolder) else ModelFolder(folder)
    kind, labels, state = folder.config, folder.labels, folder.state()
    if set(kind) != {"arch", "mapping", "length", "shape"}:
        raise TcnfastError(f"{folder.path / CONFIG}: is not of tcnfast train --windows --arch")
    model = build(kind["arch"], labels, kind["length"], kind["mapping"], kind["shape"])
    model.length = kind["length"]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:200]
        raise TcnfastError(f"{folder.path / WEIGHTS}: {words}") from None
    return model.eval()


def _write_scores(path: Path, scores: LabelScores) -> None:
    lines = ["label\tap\tauroc\tbound\twindows\tchance"]
    columns = zip(scores.labels, scores.ap, scores.auroc, scores.positives, scores.windows,
                  scores.chance, strict=True)  # fmt: skip
    lines += [f"{label}\t{ap:.4f}\t{auroc:.4f}\t{bound}\t{n}\t{chance:.5f}"
              for label, ap, auroc, bound, n, chance in columns]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")


def parse_shape(text: str | None) -> dict:
    """The JSON object of ``--shape``; TcnfastError where it is none."""
    try:
        shape = json.loads(text or "{}")
    except ValueError as error:
        raise TcnfastError(f"--shape {text}: not JSON ({error})") from None
    if not isinstance(shape, dict):
        raise TcnfastError(f'--shape {text}: must be as {{"hidden": 100}}')
    return shape
