"""Trained networks whose logits another network learns (Hinton, Vinyals and Dean 2015, "Distilling
the knowledge in a neural network", arXiv 1503.02531)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..base.errors import TcnfastError
from ..base.finite import check_scores
from ..base.talk import count
from ..data.training_tiles import Batch
from ..engines.plan import Plan
from ..model.calibrate import fit_scaling
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder

log = logging.getLogger(__name__)


class Teachers:
    """The mean logits, both strands, of the networks in model folders, for ``labels``.

    Every network counts alike, those of an ensemble too, or, with a ``floor``, on each label those
    whose average precision, in the validation scores of their own folder, is at least that share of
    the best teacher's. A teacher may know more labels, have them in another order, and look further
    than the student: ``reach`` is how many bases more on either side tiles need for that. Training
    draws bound windows far more often than a genome has them, so :meth:`scale_to` fits the mean
    logits of each label to training tiles (Platt scaling).

    Raises TcnfastError for a teacher that lacks a label, or scores where there is a ``floor``, or
    that is named twice.
    """

    def __init__(
        self,
        names: Sequence[str | Path],
        labels: Sequence[str],
        receptive_field: int,
        stride: int,
        device: str = "auto",
        precision: str = "auto",
        floor: float = 0.0,
    ) -> None:
        self.folders = [ModelFolder(name) for name in names]
        for index, folder in enumerate(self.folders):
            if folder.path.resolve() in [other.path.resolve() for other in self.folders[:index]]:
                raise TcnfastError(f"teacher {names[index]}: is given twice")
            missing = [label for label in labels if label not in folder.labels]
            if missing:
                lacks = f"{len(missing)} of {count(len(labels), 'label')}"
                raise TcnfastError(
                    f"teacher {folder.path}: lacks {lacks}, {missing[0]!r} among them"
                )
        self._plans: list[tuple[Plan, torch.Tensor]] = []
        counts = []
        for folder in self.folders:
            model = load_model(folder)
            plan = Plan(model, device, precision, stride, strand="both")
            columns = torch.tensor([folder.labels.index(label) for label in labels])
            self._plans.append((plan, columns.to(plan.device)))
            counts.append(len(model.members))
        self.networks, self._labels = sum(counts), list(labels)
        self._weights = _weights(self.folders, counts, labels, floor)
        widest = max(plan.receptive_field for plan, _ in self._plans)
        self.reach = max(0, widest - receptive_field) // 2
        self._slope, self._intercept = torch.ones(len(labels)), torch.zeros(len(labels))

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Name and SHA-256 of each model."""
        return [(folder.name, folder.hash) for folder in self.folders]

    def logits(self, codes: torch.Tensor, steps: int) -> torch.Tensor:
        """Scaled logits float32 (tiles, steps, labels) of uint8 codes (tiles, bases), whose middle
        the steps lie around."""
        mean = 0.0
        for (plan, columns), weights in zip(self._plans, self._weights, strict=True):
            length = plan.receptive_field + (steps - 1) * plan.stride
            trim = (codes.shape[1] - length) // 2
            logits = plan(codes[:, trim : trim + length].contiguous())
            mean = mean + weights.to(logits.device) * logits.index_select(2, columns)
        return mean * self._slope.to(mean.device) + self._intercept.to(mean.device)

    def scale_to(self, batches: Iterable[Batch]) -> None:
        """Fit the scaling of each label to the targets of these tiles. Raises TcnfastError for
        logits that are NaN or infinite."""
        self.scaling = torch.ones_like(self._slope), torch.zeros_like(self._slope)
        logits, targets = [], []
        for codes, truth, _ in batches:
            given = self.logits(torch.from_numpy(codes), truth.shape[1]).cpu()
            check_scores(given, "the teachers")
            logits.append(given.numpy())
            targets.append(truth)
        rows = (np.concatenate(x).reshape(-1, len(self._slope)) for x in (logits, targets))
        self.scaling = tuple(torch.from_numpy(x).float() for x in fit_scaling(*rows))

    @property
    def silent(self) -> list[tuple[str, list[str]]]:
        """Name of each teacher, and the labels on which it is below the floor."""
        pairs = zip(self.folders, self._weights.tolist(), strict=True)
        return [
            (folder.name, [label for label, x in zip(self._labels, row, strict=True) if not x])
            for folder, row in pairs
        ]

    @property
    def scaling(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Slope and intercept of each label, float32 (labels,): with the weights of the networks
        and who is silent, all that :meth:`logits` depend on."""
        return self._slope, self._intercept

    @scaling.setter
    def scaling(self, scaling: tuple[torch.Tensor, torch.Tensor]) -> None:
        self._slope, self._intercept = scaling


def _weights(
    folders: Sequence[ModelFolder], networks: Sequence[int], labels: Sequence[str], floor: float
) -> torch.Tensor:
    """What each teacher has of the mean of a label: float32 (teachers, labels)."""
    ap = np.zeros((len(folders), len(labels)))
    if floor:
        tables = [folder.scores("valid").set_index("label")["AP"] for folder in folders]
        ap = np.stack([table.reindex(labels).fillna(0).to_numpy(float) for table in tables])
    return torch.from_numpy(shares(networks, ap, floor)).float()


def shares(networks: Sequence[int], ap: np.ndarray, floor: float) -> np.ndarray:
    """What each of some teachers has of the mean of a label, float64 (teachers, labels), of sum 1:
    alike for each of its ``networks``, none where its ``ap`` (teachers, labels) is less than
    ``floor`` of the best one's."""
    counted = ap >= floor * ap.max(0)
    weights = counted * np.asarray(networks, float)[:, None]
    return weights / weights.sum(0)
