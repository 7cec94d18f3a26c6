"""One training of a study on disk: a folder that is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..base.run_record import cpu_name, versions
from ..model.model_folder import WEIGHTS
from .architectures import build, count_parameters, window_scorer
from .study_config import Model, SetSource
from .window_config import WindowConfig
from .window_fit import fit_windows, parts_to_fit
from .window_set import WindowSet

RECORD, VALID, TEST = "cell.json", "valid.npy", "test.npy"


@dataclass(frozen=True)
class Job:
    """What a cell depends on."""

    source: SetSource
    model: Model
    config: WindowConfig
    device: str = "auto"

    def key(self) -> dict:
        """JSON values that decide the weights of the cell."""
        model = {"arch": self.model.arch, "shape": self.model.shape, "mapping": self.model.mapping}
        config = asdict(self.config)
        return {"windows": self.source.hashes(), **model, "config": config}

    def build(self, windows: WindowSet) -> torch.nn.Module:
        torch.manual_seed(self.config.seed)
        model = self.model
        return build(model.arch, windows.names, windows.length, model.mapping, model.shape)


def key_hash(key: dict) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def read_record(folder: Path) -> dict | None:
    """cell.json of a finished cell; None where there is none."""
    try:
        return json.loads((folder / RECORD).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TcnfastError(f"{folder / RECORD}: cannot be read ({error})") from None


def finished(folder: Path, job: Job) -> dict | None:
    """The record of a finished cell of this very job; None where there is none yet. Raises
    TcnfastError where the folder holds a training with other settings."""
    record = read_record(folder)
    if record is None:
        return None
    if record["key"] != json.loads(json.dumps(job.key())):
        changed = [k for k, v in job.key().items() if record["key"].get(k) != v]
        raise TcnfastError(
            f"{folder}: was trained with another {', '.join(changed)}; delete it to train it "
            "again, or name the model anew"
        )
    return record


def train_cell(folder: Path, job: Job, windows: WindowSet) -> dict:
    """Train, score validation, and put both down as ``folder``; returns its record."""
    from safetensors.torch import save_file

    work = folder.with_name(folder.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    train, valid = parts_to_fit(windows, job.config)
    model = job.build(windows)
    result = fit_windows(model, train, valid, job.config, job.device)
    score = window_scorer(model, job.device, job.config.precision)
    score(valid.codes[:64])  # what is only done once is not timed
    worked = time.process_time()
    logits = score(valid.codes)
    rate = len(valid.codes) / (time.process_time() - worked)
    state = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    save_file(state, work / WEIGHTS)
    np.save(work / VALID, logits)
    record = {
        "key": job.key(),
        "parameters": count_parameters(model),
        "best_epoch": result.best + 1,
        "epochs": [
            {
                "loss": None if np.isnan(e.loss) else e.loss,
                "ap": e.scores.macro("ap"),
                "auroc": e.scores.macro("auroc"),
            }
            for e in result.epochs
        ],
        "train_windows": len(train),
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "step_cpu_seconds": result.step_cpu_seconds,
        "windows_per_cpu_second": rate,
        "processor": cpu_name(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    (work / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    work.rename(folder)
    return record


def score_test(folder: Path, job: Job, windows: WindowSet) -> None:
    """Score the test part with a cell's weights, once: test.npy is written and stays."""
    from safetensors.torch import load_file

    if (folder / TEST).exists():
        return
    model = job.build(windows)
    model.load_state_dict(load_file(folder / WEIGHTS))
    logits = window_scorer(model, job.device, job.config.precision)(windows.select("test").codes)
    temporary = folder / ("new." + TEST)
    np.save(temporary, logits)
    temporary.rename(folder / TEST)
