"""One training of a study on disk: a folder that is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..base.disk import save_array, write_bytes
from ..base.errors import TcnfastError
from ..base.options import Run
from ..base.record import Record
from ..base.run_folder import KEY, PARTIAL, RECORD, RunFolder, read_json
from ..base.run_record import cpu_name
from ..base.tables import read_object
from ..model.model_folder import WEIGHTS, read_tensors, take_weights
from .architectures import build, count_parameters, window_scorer
from .kept_features import FEATURES, Work
from .study_config import Model, SetSource
from .window_config import WindowConfig
from .window_fit import fit_windows, parts_to_fit
from .window_set import WindowSet

COMMAND, VALID, TEST = "windows study", "valid.npy", "test.npy"


@dataclass(frozen=True)
class Job:
    """A training of a study: the ``folder`` that it makes, and what it depends on."""

    folder: Path
    source: SetSource
    model: Model
    config: WindowConfig
    run: Run = Run()

    def key(self) -> dict:
        """JSON values that decide the weights of the cell."""
        model = {"arch": self.model.arch, "shape": self.model.shape, "mapping": self.model.mapping}
        config = asdict(self.config)
        return {"windows": self.source.hashes(), **model, "config": config}

    def settings(self) -> str:
        """A hash of the key, the same for every seed."""
        key = replace(self, config=replace(self.config, seed=0)).key()
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]

    def record(self) -> Record | None:
        """The record of this very training; None where it is not finished. Raises TcnfastError
        where the folder holds a training with other settings."""
        path = self.folder / RECORD
        if not path.exists():
            return None
        record = Record(read_object(path), path)
        key = record["key"] if isinstance(record["key"], dict) else {}
        if key != {"command": COMMAND, **json.loads(json.dumps(self.key()))}:
            changed = [name for name, value in self.key().items() if key.get(name) != value]
            raise TcnfastError(
                f"{self.folder}: was trained with another {', '.join(changed)}; delete it to train "
                "it again, or name the model anew"
            )
        return record

    def train(self, windows: WindowSet) -> Record:
        """Train, score validation, and make both the folder; returns its record."""
        from safetensors.torch import save

        how = {"resumable": True, "worth_keeping": lambda: work.is_begun(), "part": True}
        with RunFolder(self.folder, COMMAND, self._how_to_begin(), key=self.key(), **how) as folder:
            work = Work(folder.work / FEATURES, self.run.progress)
            train, valid = parts_to_fit(windows, self.config)
            model = self._build(windows)
            result = fit_windows(model, train, valid, self.config, self.run.device, work=work)
            score = window_scorer(model, self.run.device, self.config.precision)
            score(valid.codes[:64])  # what is only done once is not timed
            worked = time.process_time()
            logits = score(valid.codes)
            rate = len(valid.codes) / (time.process_time() - worked)
            state = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
            write_bytes(folder.result / WEIGHTS, save(state))
            save_array(folder.result / VALID, logits)
            folder.publish(
                {
                    "parameters": count_parameters(model),
                    "best_epoch": result.best + 1,
                    "epochs": [
                        {"loss": None if np.isnan(epoch.loss) else epoch.loss}
                        | {name: epoch.scores.macro(name) for name in ("ap", "auroc")}
                        for epoch in result.epochs
                    ],
                    "train_windows": len(train),
                    "train_seconds": result.seconds,
                    "cpu_seconds": result.cpu_seconds,
                    "step_cpu_seconds": result.step_cpu_seconds,
                    "windows_per_cpu_second": rate,
                    "processor": cpu_name(),
                    "threads": torch.get_num_threads(),
                }
            )
        return self.record()

    def _how_to_begin(self) -> Run:
        """Go on with what a stopped run of this very training left, or delete what is there."""
        left = read_json(self.folder.with_name(self.folder.name + PARTIAL) / KEY)
        same = left == {"command": COMMAND, **json.loads(json.dumps(self.key()))}
        return Run(resume=True) if same else Run(force=True)

    def test(self, windows: WindowSet) -> None:
        """Score the test part with the cell's weights, once: test.npy is written and stays."""
        if (self.folder / TEST).exists():
            return
        model = self._build(windows)
        take_weights(model, read_tensors(self.folder / WEIGHTS), self.folder / WEIGHTS)
        score = window_scorer(model, self.run.device, self.config.precision)
        temporary = self.folder / ("new." + TEST)
        save_array(temporary, score(windows.select("test").codes))
        temporary.rename(self.folder / TEST)

    def _build(self, windows: WindowSet) -> torch.nn.Module:
        torch.manual_seed(self.config.seed)
        model = self.model
        return build(model.arch, windows.names, windows.length, model.mapping, model.shape)
