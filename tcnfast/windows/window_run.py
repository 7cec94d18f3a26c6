"""``tcnfast windows train``: any network on a window set, to a model folder."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..base.disk import write_text
from ..base.errors import TcnfastError
from ..base.options import Run
from ..base.run_folder import RunFolder, file_hash
from ..base.talk import count
from ..model.load_model import load_model
from ..model.metrics import LabelScores
from ..model.model_folder import CONFIG, WEIGHTS, ModelFolder, take_weights
from ..model.tcn import TCN
from ..train.epochs import EpochLog
from .architectures import build, count_parameters
from .kept_features import FEATURES, Work
from .window_config import WindowTrainOptions
from .window_fit import fit_windows, parts_to_fit
from .window_set import WINDOWS, WindowSet

log = logging.getLogger(__name__)


def train_on_windows(
    windows: str | Path, out: str | Path, options: WindowTrainOptions, run: Run
) -> ModelFolder:
    """What ``tcnfast windows train`` does."""
    settings = options.config(run.precision)
    opened = lru_cache(lambda: WindowSet.open(windows))

    def kind() -> dict:
        shape = {**(options.shape or {}), **({"faithful": True} if options.faithful else {})}
        kind = {"arch": options.arch, "mapping": options.mapping, "length": opened().length}
        return {**kind, "shape": shape}

    def key() -> dict:
        inputs = [file_hash(Path(windows) / WINDOWS)]
        return {"inputs": inputs, **kind(), "config": asdict(settings)}

    # what can be gone on with are features, of a network that is frozen
    keep = {"resumable": True, "worth_keeping": lambda: work.is_begun()}
    with RunFolder(out, "windows train", run, key=key, **keep) as folder:
        if folder.complete:
            return folder.path
        work = Work(folder.work / FEATURES, run.progress)
        torch.manual_seed(settings.seed)
        model = build(labels=opened().names, **kind())
        folder.settle()
        part, size = settings.choosing_part, count_parameters(model)
        words = "%s: %s parameters, %s, windows of %d bp"
        labels = count(len(model.labels), "label")
        log.info(words, options.arch, f"{size:,}", labels, opened().length)
        if options.faithful:
            log.warning(
                "WARNING: faithful: the epoch is chosen on the test part, as in the article: the "
                "scores are too good"
            )
        epochs = EpochLog(folder.result, options.tensorboard, part)
        parts = parts_to_fit(opened(), settings)
        trained = fit_windows(model, *parts, settings, run.device, epochs.add, work)
        save_window_model(model.cpu(), folder.result, kind())
        scores = trained.epochs[trained.best].scores
        _write_scores(folder.result / f"scores.{part}.tsv", scores)
        macro = scores.macro("ap")
        folder.publish({"parameters": size, f"{part}_macro_ap": round(macro, 4)})
    log.info("macro-AP on %s %.4f; model in %s", part, macro, folder.path)
    return ModelFolder(folder.path)


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
    """The network in a model folder: a TCN, or any other of ``tcnfast windows train``, whose
    ``length`` is that of the windows it reads. Raises TcnfastError where it holds none."""
    folder = folder if isinstance(folder, ModelFolder) else ModelFolder(folder)
    kind = folder.config
    if "arch" not in kind:
        return load_model(folder)
    labels, state = folder.labels, folder.state()
    if set(kind) != {"arch", "mapping", "length", "shape"}:
        raise TcnfastError(f"{folder.path / CONFIG}: is of no network of tcnfast windows train")
    try:
        model = build(kind["arch"], labels, kind["length"], kind["mapping"], kind["shape"])
    except TcnfastError as error:
        raise TcnfastError(f"{folder.path / CONFIG}: {error}") from None
    model.length = kind["length"]
    take_weights(model, state, folder.path / WEIGHTS)
    return model.eval()


def _write_scores(path: Path, scores: LabelScores) -> None:
    s, lines = scores, ["label\tap\tauroc\tbound\twindows\tchance"]
    columns = (s.labels, s.ap, s.auroc, s.positives, s.windows, s.chance)
    for label, ap, auroc, bound, n, chance in zip(*columns, strict=True):
        lines.append(f"{label}\t{ap:.4f}\t{auroc:.4f}\t{bound}\t{n}\t{chance:.5f}")
    write_text(path, "\n".join(lines) + "\n")
