"""The upper part of a report: the model's card and how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..base.tables import read_object, read_table
from ..evaluate.evaluation_folder import EvaluationFolder
from ..model.model_folder import CARD, ModelFolder, scores_file

COLUMNS = ("label", "AP", "AUROC", "chance")


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
        summary = read_object(evaluation.path / "summary.json")
        means = []
        for name, title in (("ap", "macro-AP"), ("auroc", "macro-AUROC")):
            means.append((title, _span(summary["macro"][name])))
        source = f"{summary['model']} on part {summary['part']}"
        return Metrics(source, means, _scores(evaluation.path / "scores.tsv"))
    table = model.path / scores_file("valid") if model else None
    if table is None or not table.exists():
        return Metrics()
    labels = _scores(table)
    shares = [score.share for score in labels.values() if score.ap]
    means = [("mean AP, all labels", f"{sum(shares) / max(1, len(shares)):.3f}")]
    return Metrics("validation regions, of the model's card", means, labels)


def _scores(table: Path) -> dict[str, Score]:
    scores = {}
    for row in read_table(table, COLUMNS):
        ap = float(row["AP"])
        if ap != ap:  # NaN: nothing to score
            scores[row["label"]] = Score()
            continue
        low, high = row.get("AP_low", "nan"), row.get("AP_high", "nan")
        interval = "" if low == "nan" else f"{float(low):.2f} to {float(high):.2f}"
        scores[row["label"]] = Score(f"{ap:.3f}", interval, f"{float(row['AUROC']):.3f}", ap)
    return scores


def _span(entry: dict) -> str:
    if entry["value"] is None:
        return "-"
    interval = f" ({entry['low']:.3f} to {entry['high']:.3f})" if entry.get("low") else ""
    return f"{entry['value']:.3f}{interval}"
