"""``tcnfast train``: from data on disk to a model folder."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder, file_hash
from ..data.dataset import Dataset
from ..data.source import Source, open_source
from ..genome.genome import Region
from ..model.model_folder import WEIGHTS
from ..model.tcn import TCN, TCNConfig
from ..pwm.meme import read_meme
from .epochs import EpochLog
from .fit import fit
from .motif_init import set_motif_filters
from .publish import Published, describe, publish
from .train_config import TrainConfig

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"  # in the folder of an unfinished training


def train_model(
    out: str,
    *,
    motifs: str | None = None,
    min_peaks: int = 200,
    shape: dict | None = None,
    config: dict | None = None,
    device: str = "auto",
    force: bool = False,
    resume: bool = False,
    tensorboard: str | None = None,
    progress: bool = False,
    **data,
) -> Path:
    """Train on ``data``, arguments of :func:`open_source`, and write a calibrated model folder
    ``out``; returns its path.

    ``shape``: arguments of TCNConfig but for the labels; ``config``: of TrainConfig. Labels with
    fewer than ``min_peaks`` peaks in the training regions are dropped, and named in the card.
    ``motifs``: a MEME file; first filters start at the motifs named for the labels' factors.
    ``resume`` goes on with a training that was stopped, after its last whole epoch, and gives the
    same model as one that was not. ``tensorboard``: folder for TensorBoard's events.
    """
    settings = TrainConfig(**(config or {}))
    with open_source(**data) as source:
        regions = source.split
        dataset, dropped = source.dataset.drop_rare(regions["train"], min_peaks)
        torch.manual_seed(settings.seed)
        shape = {"label_bin": dataset.label_bin, **(shape or {})}
        model = TCN(TCNConfig(labels=dataset.labels, **shape))
        if motifs:
            used = set_motif_filters(model, read_meme(motifs))
            log.info("first filters start at %d motifs: %s", len(used), ", ".join(used))
        _check_regions(dataset, regions, model.receptive_field, settings.stride)
        hashes = _hashes(source, motifs)
        shape = {name: x for name, x in asdict(model.config).items() if name != "labels"}
        key = {"command": "train", "inputs": hashes, "min_peaks": min_peaks, "shape": shape,
               "config": asdict(settings)}  # fmt: skip
        output = OutputFolder(out, key, force, resume)
        if output.complete:
            log.info("%s is complete already", output.folder)
            return output.folder
        log.info("%d labels, %d dropped for want of peaks", len(dataset.labels), len(dropped))
        result = output.work / "result"
        with _kept_if_stopped(output):
            result.mkdir(exist_ok=True)
            epochs = EpochLog(result, tensorboard)

            def on_epoch(judged: TCN, epoch, is_best: bool) -> None:
                epochs.add(epoch, is_best)
                if is_best:
                    judged.save(result)

            fit(model, dataset, regions["train"], regions["valid"], settings, device, on_epoch,
                progress, output.work / CHECKPOINT, epochs.resume)  # fmt: skip
            scores = _publish(model, dataset, dropped, regions, settings, hashes, output, device)
    output.publish(result, {"test_macro_ap": round(scores.test.macro("ap"), 4)})
    log.info("model in %s", output.folder)
    return output.folder


def _publish(
    model: TCN,
    dataset: Dataset,
    dropped: list[tuple[str, int]],
    regions: dict[str, list[Region]],
    settings: TrainConfig,
    hashes: list[tuple[str, str]],
    output: OutputFolder,
    device: str,
) -> Published:
    command = "`tcnfast train` with these settings (the bundled model: `make model`)"
    name = output.folder.name
    card = describe(name, dataset, dropped, regions, settings, model, hashes, command)
    return publish(
        model,
        dataset,
        regions,
        output.work / "result",
        stride=settings.stride,
        device=device,
        precision=settings.precision,
        card=card,
    )


def _hashes(source: Source, motifs: str | None) -> list[tuple[str, str]]:
    """File name and SHA-256 of all that the model is made from."""
    return [*source.inputs, *((Path(path).name, file_hash(path)) for path in (motifs,) if path)]


@contextmanager
def _kept_if_stopped(output: OutputFolder):
    """Say how to go on with a training that stops; leave nothing of one without an epoch."""
    try:
        yield
    except BaseException:
        if (output.work / CHECKPOINT).exists():
            log.warning("go on after the last whole epoch with --resume; the best model so far, "
                        "not calibrated, is in %s", output.work / "result")  # fmt: skip
        elif not (output.work / "result" / WEIGHTS).exists():
            output.discard()
        raise


def _check_regions(
    dataset: Dataset, regions: dict[str, list[Region]], receptive_field: int, stride: int
) -> None:
    """Raise TcnfastError, before hours of training, for a part of the split without a window."""
    for part, areas in regions.items():
        if not any(len(dataset.centres(area, receptive_field, stride)) for area in areas):
            raise TcnfastError(
                f"split: no region of {part!r} holds a window of {receptive_field} bases"
            )
