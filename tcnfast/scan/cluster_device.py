"""What the workers of a cluster run, asked of one of them where the driver has no such device."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..base.errors import TcnfastError
from ..base.options import Run
from ..model.ensemble import Ensemble
from ..model.tcn import TCN
from . import ScanOptions
from .pipeline import Scorer
from .ray_engine import RayEngine, threads_of
from .stretch_worker import Ran
from .work_pool import LOOK, STARTS_WITHIN


@dataclass(frozen=True)
class Question:
    """What the worker is told; picklable."""

    model: TCN | Ensemble
    options: ScanOptions
    run: Run
    threads: int

    def worker(self) -> Answer:
        """Makes a plan as the workers of the scan do."""
        torch.set_num_threads(self.threads)
        names = "device", "precision", "backend"
        how = {name: getattr(self.run, name) for name in names}
        scorer = Scorer(self.model, self.options.strand, stride=self.options.stride, **how)
        return Answer(Ran.of(scorer.plan))

    def seen(self, unit: object, result: object) -> bool:
        """Nothing is written."""
        return True


@dataclass(frozen=True)
class Answer:
    """What ``Question.worker`` gives; it is asked for nothing else."""

    ran: Ran


def ran_on_cluster(model: TCN | Ensemble, options: ScanOptions, run: Run) -> Ran:
    """What the workers of ``run`` score with. Raises TcnfastError where none can be started."""
    question = Question(model, options, run, threads_of(run))
    engine = RayEngine(question, 1, int(run.device.startswith("cuda")))
    patience, began = max(run.time_limit, STARTS_WITHIN), time.monotonic()
    try:
        engine.start()
        while time.monotonic() - began < patience:
            for worker, kind, values in engine.events(LOOK):
                if kind == "runs":
                    return values[0]
                if kind == "lost":
                    raise TcnfastError(f"{worker} is lost before it began: {values[0]}")
    finally:
        engine.close()
    raise TcnfastError(f"no worker with the device {run.device} could be started in {patience:g} s")
