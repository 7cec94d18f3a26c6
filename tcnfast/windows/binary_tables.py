"""Tables of the sets of one label: every score of every model, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .study_tables import Results

METRICS = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1",
    "auroc": "AUROC", "ap": "AP", "mcc": "MCC",
}  # fmt: skip
COSTS = ("parameters", "cpu_seconds", "train_windows", "windows_per_cpu_second")


def details(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the scores of each model on each binary set, mean and standard deviation
    over seeds, and the best of each set in bold. None where results hold no precision."""
    rows = []
    for name in results.binary:
        label = results.labels[name][0]
        models = [m for m in results.models if results.seeds(name, m)]
        best = {
            metric: max(round(results.mean(name, m, label, metric), 3) for m in models)
            for metric in METRICS
        }
        for model in models:
            if np.isnan(results.mean(name, model, label, "precision")):
                return [], []
            cells = [_spread(results, name, model, metric, best[metric]) for metric in METRICS]
            rows.append([name, model, str(len(results.seeds(name, model))), *cells])
    return ["set", "model", "seeds", *METRICS.values()], rows


def _spread(results: Results, name: str, model: str, metric: str, best: float) -> str:
    values = list(results.values[name, model, results.labels[name][0], metric].values())
    mean = f"{np.mean(values):.3f}"
    mean = f"**{mean}**" if float(mean) == best else mean
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def costs(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows: parameters, and processor seconds per 1,000 windows of training, all epochs
    and what they begin with counted, and of prediction; the median over the binary sets."""
    rows = []
    for model in results.models:
        found = []
        for name in results.binary:
            if not results.seeds(name, model):
                continue
            size, seconds, windows, rate = (results.mean(name, model, "", m) for m in COSTS)
            found.append([size, 1000 * seconds / windows, 1000 / rate])
        if found and not np.isnan(found).any():
            size, trained, predicted = np.median(found, 0)
            rows.append([model, f"{size:,.0f}", f"{trained:.3g}", f"{predicted:.3g}"])
    header = ["model", "parameters", "training, s per 1,000 windows",
              "prediction, s per 1,000 windows"]  # fmt: skip
    return header, rows
