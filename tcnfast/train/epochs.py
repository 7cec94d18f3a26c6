"""What epochs gave, and where it is written: train.tsv, the terminal, TensorBoard."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.tables import replace_file
from ..model.metrics import LabelScores

log = logging.getLogger(__name__)

TABLE = "train.tsv"
_HEADER = "step\tloss\tvalid_macro_ap\tvalid_macro_auroc\tseconds"


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: the step it ended with, the mean loss of its steps (NaN where there was
    none), seconds since the start of training, and the scores on validation."""

    step: int
    loss: float
    seconds: float
    scores: LabelScores


class EpochLog:
    """Writes each epoch to ``folder``/train.tsv, to the log, and where ``tensorboard`` names a
    folder there as TensorBoard events. ``part``: what the scores are of, in the log's words.

    Raises TcnfastError where TensorBoard is asked for and not installed.
    """

    def __init__(
        self, folder: Path, tensorboard: str | None = None, part: str = "validation"
    ) -> None:
        self.path = folder / TABLE
        self.part, self.rows = part, [_HEADER]
        self._events, self._tensorboard = None, tensorboard
        if tensorboard is not None:
            _summary_writer()

    def resume(self, epochs: list[Epoch]) -> None:
        """Take up the log after ``epochs``; what was written of later ones is forgotten."""
        self.rows = [_HEADER, *map(_row, epochs)]
        self._write()
        if self._tensorboard is not None:
            after = epochs[-1].step + 1 if epochs else 0
            self._events = _summary_writer()(self._tensorboard, purge_step=after)

    def add(self, epoch: Epoch, is_best: bool) -> None:
        """Write one more epoch."""
        self.rows.append(_row(epoch))
        self._write()
        loss = "no loss" if math.isnan(epoch.loss) else f"loss {epoch.loss:.4f}"
        ap, auroc = (f"{epoch.scores.macro(name):.4f}" for name in ("ap", "auroc"))
        best = " (best)" if is_best else ""
        words = "step %d: %s, %s macro-AP %s, macro-AUROC %s%s"
        log.info(words, epoch.step, loss, self.part, ap, auroc, best)
        if self._tensorboard is None:
            return
        if self._events is None:
            self._events = _summary_writer()(self._tensorboard)
        self._events.add_scalar("loss", epoch.loss, epoch.step)
        for name in ("ap", "auroc"):
            self._events.add_scalar(f"valid/macro_{name}", epoch.scores.macro(name), epoch.step)
            for label, value in zip(epoch.scores.labels, getattr(epoch.scores, name), strict=True):
                self._events.add_scalar(f"{name}/{label}", value, epoch.step)
        self._events.flush()

    def _write(self) -> None:
        replace_file(self.path, ("\n".join(self.rows) + "\n").encode())


def _row(epoch: Epoch) -> str:
    ap, auroc = (epoch.scores.macro(name) for name in ("ap", "auroc"))
    return f"{epoch.step}\t{epoch.loss:.5f}\t{ap:.4f}\t{auroc:.4f}\t{round(epoch.seconds)}"


def _summary_writer():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TcnfastError(
            "--tensorboard needs the tensorboard package: pip install tensorboard"
        ) from None
    return SummaryWriter
