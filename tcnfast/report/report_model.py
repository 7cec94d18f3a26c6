"""The upper part of a report: the model's card and how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..base.tables import read_frame
from ..evaluate.evaluation_folder import EvaluationFolder
from ..evaluate.evaluation_page import mean_tiles
from ..model.model_folder import CARD, ModelFolder, scores_file


@dataclass(frozen=True)
class Score:
    """A label's scores as text, "" where there are none; ``share``: AP as a number for a bar."""

    ap: str = ""
    interval: str = ""
    auroc: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Metrics:
    """Scores of all labels, means and where they come from."""

    source: str = ""
    means: list[tuple[str, str]] = field(default_factory=list)
    labels: dict[str, Score] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelCard:
    name: str
    facts: list[tuple[str, str]]
    card: str  # the model folder's README.md


def read_card(folder: ModelFolder, network) -> ModelCard:
    """Facts of a model folder; ``network``: the model loaded from it."""
    parameters = sum(tensor.numel() for tensor in network.parameters())
    facts = [
        ("labels", f"{len(network.labels):,}"),
        ("parameters", f"{parameters:,}"),
        ("a score sees", f"{network.receptive_field:,} bp"),
    ]
    if len(network.members) > 1:
        facts.append(("ensemble of", f"{len(network.members)} networks"))
    card = folder.path / CARD
    return ModelCard(folder.name, facts, card.read_text() if card.exists() else "")


def read_metrics(evaluation: EvaluationFolder | None, model: ModelFolder | None) -> Metrics:
    """Scores of an evaluation; without one, those on validation that lie in the model's folder."""
    if evaluation is not None:
        summary = evaluation.summary
        source = f"{summary['model']} on part {summary['part']}"
        return Metrics(source, mean_tiles(summary), _scores(evaluation.scores))
    table = model.path / scores_file("valid") if model else None
    if table is None or not table.exists():
        return Metrics()
    labels = _scores(read_frame(table))
    shares = [score.share for score in labels.values() if score.ap]
    means = [("mean AP, all labels", f"{sum(shares) / max(1, len(shares)):.3f}")]
    return Metrics("validation regions, of the model's card", means, labels)


def _scores(table) -> dict[str, Score]:
    scores = {}
    for row in table.to_dict("records"):
        ap = row["AP"]
        if ap != ap:  # NaN: nothing to score
            scores[row["label"]] = Score()
            continue
        low, high = row.get("AP_low", float("nan")), row.get("AP_high", float("nan"))
        interval = "" if low != low else f"{low:.2f} to {high:.2f}"
        scores[row["label"]] = Score(f"{ap:.3f}", interval, f"{row['AUROC']:.3f}", ap)
    return scores
