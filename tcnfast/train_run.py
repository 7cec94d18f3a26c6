"""``tcnfast train``: from files on disk to a model folder."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import torch

from .dataset import Dataset, open_dataset, read_split
from .errors import TcnfastError
from .genome import Genome, Region
from .meme import read_meme
from .model import TCN, TCNConfig
from .motif_init import set_motif_filters
from .outputs import OutputFolder, file_hash
from .publish import describe, publish
from .store import WEIGHTS
from .train import Epoch, TrainConfig, fit

log = logging.getLogger(__name__)


def train_model(
    genome: list[str],
    peaks: list[str],
    split: str,
    out: str,
    *,
    ambiguous: list[str] = (),
    blacklist: str | None = None,
    motifs: str | None = None,
    min_peaks: int = 200,
    shape: dict | None = None,
    config: dict | None = None,
    device: str = "auto",
    force: bool = False,
    progress: bool = False,
) -> Path:
    """Train on peak files and write a calibrated model folder ``out``; returns its path.

    ``shape``: arguments of TCNConfig but for the labels; ``config``: of TrainConfig. Labels with
    fewer than ``min_peaks`` peaks in the training regions are dropped, and named in the card.
    ``motifs``: a MEME file; first filters start at the motifs named for the labels' factors.
    """
    settings = TrainConfig(**(config or {}))
    optional = [path for path in (blacklist, motifs) if path]
    inputs = [*genome, *peaks, *ambiguous, *optional, split]
    with Genome(*genome) as opened:
        regions = read_split(split, opened.sizes)
        dataset = open_dataset(opened, peaks, ambiguous, blacklist)
        dataset, dropped = dataset.drop_rare(regions["train"], min_peaks)
        torch.manual_seed(settings.seed)
        model = TCN(TCNConfig(labels=dataset.labels, **(shape or {})))
        if motifs:
            used = set_motif_filters(model, read_meme(motifs))
            log.info("first filters start at %d motifs: %s", len(used), ", ".join(used))
        _check_regions(dataset, regions, model.receptive_field, settings.stride)
        hashes = [(Path(path).name, file_hash(path)) for path in inputs]
        key = {"command": "train", "inputs": hashes, "config": asdict(settings)}
        output = OutputFolder(out, key, force, resume=False)
        log.info("%d labels, %d dropped for want of peaks", len(dataset.labels), len(dropped))
        result = output.work / "result"
        log_path = result / "train.tsv"

        def on_epoch(model: TCN, epoch: Epoch, is_best: bool) -> None:
            ap, auroc = (epoch.scores.macro(x) for x in ("ap", "auroc"))
            row = (epoch.step, f"{epoch.loss:.5f}", f"{ap:.4f}", f"{auroc:.4f}",
                   round(epoch.seconds))  # fmt: skip
            with open(log_path, "a") as file:
                print(*row, sep="\t", file=file)
            log.info("step %d: loss %.4f, validation macro-AP %.4f, macro-AUROC %.4f%s",
                     epoch.step, epoch.loss, ap, auroc, " (best)" if is_best else "")  # fmt: skip
            if is_best:
                model.save(result)

        train, valid = regions["train"], regions["valid"]
        try:
            result.mkdir()
            log_path.write_text("step\tloss\tvalid_macro_ap\tvalid_macro_auroc\tseconds\n")
            fit(model, dataset, train, valid, settings, device, on_epoch, progress)
            command = "`tcnfast train` with these settings (the bundled model: `make model`)"
            card = describe(
                output.folder.name, dataset, dropped, regions, settings, model, hashes, command
            )
            scores = publish(
                model,
                dataset,
                regions,
                result,
                stride=settings.stride,
                device=device,
                precision=settings.precision,
                card=card,
            )
        except BaseException:
            if (result / WEIGHTS).exists():
                log.warning("the best epoch so far, not calibrated, is in %s", result)
            else:
                output.discard()
            raise
    output.publish(result, {"test_macro_ap": round(scores.test.macro("ap"), 4)})
    log.info("model in %s", output.folder)
    return output.folder


def _check_regions(
    dataset: Dataset, regions: dict[str, list[Region]], receptive_field: int, stride: int
) -> None:
    """Raise TcnfastError, before hours of training, for a part of the split without a window."""
    for part, areas in regions.items():
        if not any(len(dataset.centres(area, receptive_field, stride)) for area in areas):
            raise TcnfastError(
                f"split: no region of {part!r} holds a window of {receptive_field} bases"
            )
