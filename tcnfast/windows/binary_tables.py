"""Tables of the sets of one label: scores of every model, tests, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .study_tables import number, pearson, table

if TYPE_CHECKING:
    from .study_tables import Results

METRICS = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1"}
METRICS |= {"auroc": "AUROC", "ap": "AP", "mcc": "MCC"}
COSTS = ("parameters", "cpu_seconds", "train_windows", "windows_per_cpu_second")


def binary_tables(results: Results) -> list[str]:
    return [_scores(results), _means(results), _details(results), _costs(results)]


def _score(results: Results, name: str, model: str, metric: str) -> float:
    return results.mean(name, model, results.labels[name][0], metric)


def _scores(results: Results) -> str:
    models, rows = results.models_of(results.binary), []
    for name in results.binary:
        row = [name, f"{results.of_set(name, 'train_windows'):,.0f}"]
        for metric in ("ap", "auroc", "mcc"):
            row += [number(_score(results, name, m, metric)) for m in models]
        rows.append(row)
    columns = [f"{word} {m}" for word in ("AP", "AUROC", "MCC") for m in models]
    return table("Binary sets", "|".join(["set", "training windows", *columns]), rows)


def _means(results: Results) -> str:
    """Means over the binary sets of each kind, wins of the reference, and a paired test."""
    from scipy.stats import wilcoxon

    sets, models, rows = results.binary, results.models_of(results.binary), []
    metrics = ("ap", "auroc", "accuracy", "f1", "mcc")
    sizes = np.array([results.of_set(name, "train_windows") for name in sets])
    found = {
        m: np.array([[_score(results, name, m, x) for x in metrics] for name in sets])
        for m in models
    }
    for model in models:
        size = np.mean([results.mean(name, model, "", "parameters") for name in sets])
        aps = found[model][:, 0]
        row = [model, f"{size:,.0f}", *(number(v) for v in found[model].mean(0))]
        row.append(f"{(aps > 0.7).sum()} of {len(sets)}")
        row += [number(pearson(x, aps), 2) for x in (sizes, np.log10(sizes))]
        wins = ["", ""]
        if model != results.reference and results.reference in found and len(sets) > 5:
            gain = found[results.reference][:, 0] - aps
            wins = [f"{(gain > 0).sum()} of {len(gain)}", f"{wilcoxon(gain).pvalue:.4f}"]
        rows.append(row + wins)
    header = "model|parameters|AP|AUROC|accuracy|F1|MCC|sets with AP > 0.7|r, size|r, log size|"
    header += f"{results.reference} better in AP|p, Wilcoxon"
    return table("Means over the binary sets", header, rows, "Cutoffs chosen on validation.")


def _details(results: Results) -> str:
    """The scores of each model on each binary set, mean and standard deviation over seeds, and the
    best of each set in bold. Nothing where results hold no precision."""
    rows = []
    for name in results.binary:
        models = results.models_on(name)
        if any(np.isnan(_score(results, name, m, "precision")) for m in models):
            return ""
        best = {x: max(round(_score(results, name, m, x), 3) for m in models) for x in METRICS}
        for model in models:
            cells = [_spread(results, name, model, metric, best[metric]) for metric in METRICS]
            rows.append([name, model, str(len(results.seeds(name, model))), *cells])
    note = "Means over seeds, with their standard deviation; cutoffs chosen on validation."
    header = "|".join(["set", "model", "seeds", *METRICS.values()])
    return table("Every score of the binary sets", header, rows, note, texts=2)


def _spread(results: Results, name: str, model: str, metric: str, best: float) -> str:
    values = results.values[name, model, results.labels[name][0], metric]
    mean = f"{np.mean(values):.3f}"
    mean = f"**{mean}**" if float(mean) == best else mean
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def cost(results: Results, name: str, model: str) -> tuple[float, float, float]:
    """Parameters, and processor seconds per 1,000 windows of training and of prediction."""
    size, seconds, windows, rate = (results.mean(name, model, "", m) for m in COSTS)
    return size, 1000 * seconds / windows, 1000 / rate


def _costs(results: Results) -> str:
    """Parameters, and processor seconds per 1,000 windows of training, all epochs and what they
    begin with counted, and of prediction; the median over the binary sets."""
    rows = []
    for model in results.models:
        found = []
        for name in results.binary:
            if results.seeds(name, model):
                found.append(cost(results, name, model))
        if found and not np.isnan(found).any():
            size, trained, predicted = np.median(found, 0)
            rows.append([model, f"{size:,.0f}", f"{trained:.3g}", f"{predicted:.3g}"])
    header = "model|parameters|training, s per 1,000 windows|prediction, s per 1,000 windows"
    note = "Processor seconds, validation included; median over the sets."
    return table("Cost on the binary sets", header, rows, note)
