"""``tcnfast train``: from data on disk to a model folder."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import torch

from ..base.errors import TcnfastError
from ..base.file_names import check_labels
from ..base.options import Run
from ..base.run_folder import RunFolder, named_hash
from ..base.talk import count
from ..data.data_options import DataOptions
from ..data.dataset import Dataset
from ..data.source import Source, open_source
from ..data.unlabelled import UnlabelledTiles
from ..engines.ranks import Ranks
from ..genome.genome import Genome, Region
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from ..pwm.motif_formats import motif_file, read_motifs
from .card import taught_words, trained_card
from .epochs import Epoch, EpochLog
from .fit import fit
from .motif_init import set_motif_filters
from .publish import publish, scores_record
from .teachers import Teachers
from .torchrun import joined
from .train_config import TrainConfig, TrainOptions

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"  # in the folder of an unfinished training


def train_model(
    data: str | Path | None, out: str | Path, options: TrainOptions, run: Run
) -> ModelFolder:
    """What ``tcnfast train`` does."""
    config = replace(options.narrowed(TrainConfig), precision=run.precision)

    def an_epoch_is_done() -> bool:
        return (folder.work / CHECKPOINT).exists()

    with joined(run.device) as (ranks, device), ExitStack() as opened:
        config.check_shared(ranks.count)
        run = replace(run, device=device, progress=run.progress and ranks.rank == 0)
        job = _Job(opened, data, options, config, device, ranks)
        if ranks.rank == 0:
            folder = RunFolder(
                out, "train", run, key=job.key, resumable=True, worth_keeping=an_epoch_is_done
            )
            with folder:
                if not ranks.of_first(lambda: folder.complete):
                    folder.settle()
                    job.train(folder, run)
        elif not ranks.of_first(lambda: None):
            job.train(None, run)
        path = ranks.of_first(lambda: folder.path)
    return ModelFolder(path)


class _Job:
    """One training. Data are opened, in ``opened``, when they are first asked for."""

    def __init__(
        self,
        opened: ExitStack,
        data: str | Path | None,
        options: TrainOptions,
        config: TrainConfig,
        device: str,
        ranks: Ranks,
    ) -> None:
        self.options, self.config, self._device = options, config, device
        self.ranks = ranks
        self._opened, self._data = opened, data

    @cached_property
    def source(self) -> Source:
        files = vars(self.options.narrowed(DataOptions))
        return self._opened.enter_context(open_source(self._data, **files))

    @cached_property
    def _kept(self) -> tuple[Dataset, list[tuple[str, int]]]:
        dataset, train = self.source.dataset, self.source.split["train"]
        kept, rare = dataset.drop_rare(train, self.options.min_peaks)
        check_labels(kept.labels)
        return kept, rare

    @cached_property
    def model(self) -> TCN:
        """The network as training begins with it."""
        dataset, _ = self._kept
        torch.manual_seed(self.config.seed)
        model = TCN(self.options.shape(dataset.labels, label_bin=dataset.label_bin))
        if self.options.motifs:
            used = set_motif_filters(model, read_motifs(self.options.motifs))
            log.info("first filters start at %s: %s", count(len(used), "motif"), ", ".join(used))
        _check_regions(dataset, self.source.split, model.receptive_field, self.config.stride)
        return model

    @cached_property
    def teachers(self) -> Teachers | None:
        """The networks that it learns from beside the labels."""
        if not self.options.teacher:
            return None
        model, config = self.model, self.config
        about = config.stride, self._device, config.precision, config.teacher_floor or 0.0
        return Teachers(self.options.teacher, model.labels, model.receptive_field, *about)

    @cached_property
    def unlabelled(self) -> UnlabelledTiles | None:
        """Sequence that only its teachers have a word on."""
        if not self.options.unlabelled:
            return None
        genome = self._opened.enter_context(Genome(*self.options.unlabelled))
        config, source = self.config, self.source
        window = self.model.receptive_field + 2 * self.teachers.reach
        length = window + (config.tile_steps - 1) * config.stride
        held_out = [*source.split["valid"], *source.split["test"]]
        return UnlabelledTiles(genome, length, held_out, source.dataset.genome.sizes)

    @cached_property
    def inputs(self) -> list[tuple[str, str]]:
        """File name and SHA-256 of all that the model is made from."""
        motifs = [motif_file(self.options.motifs)] if self.options.motifs else []
        files = [*motifs, *self.options.unlabelled]
        return [*self.source.inputs, *(named_hash(path) for path in files)]

    def key(self) -> dict:
        """What the model depends on."""
        shape = {name: x for name, x in asdict(self.model.config).items() if name != "labels"}
        return {
            "inputs": self.inputs,
            "min_peaks": self.options.min_peaks,
            "shape": shape,
            "config": asdict(self.config),
            "teachers": self.teachers.inputs if self.teachers else [],
            "silent": self.teachers.silent if self.teachers else [],
            **({"no_test": True} if self.options.no_test else {}),
        }

    def train(self, folder: RunFolder | None, run: Run) -> None:
        """Train, calibrate and publish; a training that has a checkpoint goes on from it. Of
        several processes the first alone has the folder, and writes."""
        if self.ranks.count > 1:
            key = json.dumps(self.key()).encode()
            self.ranks.check_alike("data and settings", hashlib.sha256(key).hexdigest()[:12])
        model, config, split = self.model, self.config, self.source.split
        dataset, dropped = self._kept
        labels = count(len(dataset.labels), "label")
        log.info("%s, %d dropped for want of peaks", labels, len(dropped))
        if model.config.symmetric:
            log.info("symmetric network: both strands score the same, one pass gives both")
        if self.teachers:
            networks = count(self.teachers.networks, "network")
            log.info("learning from the labels and from %s", networks)
            for name, labels in self.teachers.silent:
                if labels:
                    few = count(len(labels), "label"), ", ".join(labels)
                    log.info("%s has no word on %s: %s", name, *few)
        given = model, dataset, split["train"], split["valid"], config, run.device
        more = dict(teachers=self.teachers, unlabelled=self.unlabelled, ranks=self.ranks)
        if folder is None:
            fit(*given, progress=False, **more)
            return
        epochs = EpochLog(folder.result, self.options.tensorboard)

        def on_epoch(judged: TCN, epoch: Epoch, is_best: bool) -> None:
            epochs.add(epoch, is_best)
            if is_best:
                judged.save(folder.result)

        saved = dict(saved=folder.work / CHECKPOINT, on_resume=epochs.resume)
        fit(*given, on_epoch, run.progress, **saved, **more)
        no_test = self.options.no_test
        about = folder.path.name, model, dataset, dropped, split, config, self.inputs
        card = trained_card(*about, not no_test)
        if self.teachers:
            card += taught_words(config, self.teachers.inputs, self.options.unlabelled)
        scores = publish(model, dataset, split, folder.result, card, config.stride, run, no_test)
        folder.publish(scores_record(scores))
        log.info("model in %s; to call with it: tcnfast scan FASTA -m %s", *[folder.path] * 2)


def _check_regions(
    dataset: Dataset, regions: dict[str, list[Region]], receptive_field: int, stride: int
) -> None:
    """Raise TcnfastError, before hours of training, for a part of the split without a window."""
    for part, areas in regions.items():
        if not any(len(dataset.centres(area, receptive_field, stride)) for area in areas):
            raise TcnfastError(
                f"split: no region of {part!r} holds a window of {receptive_field} bases"
            )
