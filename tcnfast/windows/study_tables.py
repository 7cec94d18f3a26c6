"""tables.md of a study, from results.csv and statistics.csv alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from ..base.tables import replace_file
from .binary_tables import costs, details
from .statistics import METRICS, holm
from .study_results import RESULTS, STATISTICS, read_rows

TABLES = "tables.md"
WORDS = {"ap": "AP", "auroc": "AUROC", "f1": "F1"}


class Results:
    """results.csv and statistics.csv of a folder, looked up by what they are of.

    A set of one label is binary. Models keep the order of the file; ``reference`` is the one that
    the others are tested against.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        rows, self.statistics = read_rows(folder / RESULTS), read_rows(folder / STATISTICS)
        self.values: dict[tuple, dict[str, float]] = defaultdict(dict)
        for row in rows:
            key = row["set"], row["model"], row["label"], row["metric"]
            self.values[key][row["seed"]] = row["value"]
        self.sets = list(dict.fromkeys(row["set"] for row in rows))
        self.models = list(dict.fromkeys(row["model"] for row in rows if row["model"]))
        named = [row for row in rows if not row["model"] and row["metric"] == "train_bound"]
        self.labels = {s: [row["label"] for row in named if row["set"] == s] for s in self.sets}
        self.reference = next((r["model"] for r in self.statistics if r["against"]), "")
        self._spread = {self._key(row): row for row in self.statistics}

    @staticmethod
    def _key(row: dict) -> tuple:
        return row["set"], row["model"], row["against"], row["label"], row["metric"]

    @property
    def multi(self) -> list[str]:
        return [s for s in self.sets if len(self.labels[s]) > 1]

    @property
    def binary(self) -> list[str]:
        return [s for s in self.sets if len(self.labels[s]) == 1]

    def models_of(self, sets: list[str]) -> list[str]:
        """Models that were run on every one of the sets."""
        return [m for m in self.models if sets and all(self.seeds(s, m) for s in sets)]

    def seeds(self, set_name: str, model: str) -> list[float]:
        """Macro-AP of each seed."""
        return list(self.values.get((set_name, model, "macro", "ap"), {}).values())

    def mean(self, set_name: str, model: str, label: str, metric: str) -> float:
        """Mean over seeds; NaN where there is none."""
        found = list(self.values.get((set_name, model, label, metric), {}).values())
        return float(np.mean(found)) if found else float("nan")

    def spread(self, set_name: str, model: str, label: str, metric: str, against: str = "") -> dict:
        """The row of statistics.csv: value, low, high, p; empty where there is none."""
        return self._spread.get((set_name, model, against, label, metric), {})


def write_tables(folder: str | Path) -> None:
    """Write tables.md."""
    results = Results(folder)
    parts = [_sets(results), *(_scores(results, s) for s in results.multi), _costs(results)]
    parts += [_tests(results), *(_labels(results, s) for s in results.multi)]
    parts.append(_frequency(results))
    if results.binary:
        parts += [_binary(results), _binary_means(results)]
        words = "Means over seeds, with their standard deviation; cutoffs chosen on validation."
        parts.append(_table("Every score of the binary sets", *details(results), words, texts=2))
        words = "Processor seconds, validation included; median over the sets."
        parts.append(_table("Cost on the binary sets", *costs(results), words))
    text = "\n".join(part for part in parts if part)
    replace_file(Path(folder) / TABLES, text.encode())


def _table(
    title: str, header: list[str], rows: list[list[str]], note: str = "", texts: int = 1
) -> str:
    """A table in Markdown, the first ``texts`` columns of which are words; "" without rows."""
    if not rows:
        return ""
    head = [f"**{title}**{note and '. ' + note}", ""]
    lines = [header, ["---"] * texts + ["---:"] * (len(header) - texts), *rows]
    return "\n".join([*head, *("| " + " | ".join(line) + " |" for line in lines), ""])


def _number(value: float, digits: int = 3, sign: bool = False) -> str:
    return "" if np.isnan(value) else f"{value:{'+' if sign else ''}.{digits}f}"


def _sets(results: Results) -> str:
    rows = []
    for name in results.multi:
        sizes = [results.mean(name, "", "", f"{p}_windows") for p in ("train", "valid", "test")]
        bound = [results.mean(name, "", x, "train_bound") for x in results.labels[name]]
        rows.append([name, str(len(bound)), *(f"{n:,.0f}" for n in sizes),
                     f"{min(bound):,.0f} to {max(bound):,.0f}"])  # fmt: skip
    header = ["set", "labels", "train", "valid", "test", "bound training windows of a label"]
    return _table("Multi-label sets", header, rows)


def _scores(results: Results, name: str) -> str:
    rows = []
    for model in results.models:
        seeds = results.seeds(name, model)
        if not seeds:
            continue
        row = [model, str(len(seeds))]
        for metric in METRICS:
            found = results.spread(name, model, "macro", metric)
            text = _number(results.mean(name, model, "macro", metric))
            if found and not np.isnan(found["low"]):
                text += f" ({found['low']:.3f} to {found['high']:.3f})"
            row.append(text)
        row.append(_number(float(np.std(seeds, ddof=1)), 4) if len(seeds) > 1 else "")
        row += [_number(results.mean(name, model, "micro", m)) for m in METRICS]
        row.append(_number(results.mean(name, model, "all", "hamming_loss"), 4))
        row.append(_number(results.mean(name, model, "macro", "ece"), 4))
        rows.append(row)
    header = ["model", "seeds", "macro-AP", "macro-AUROC", "macro-F1", "SD of AP over seeds",
              "micro-AP", "micro-AUROC", "micro-F1", "Hamming loss",
              "calibration error"]  # fmt: skip
    return _table(f"Scores on {name}, test part", header, rows,
                  "Means over seeds; in brackets 95 % intervals over 1-Mb blocks.")  # fmt: skip


def _costs(results: Results) -> str:
    rows = []
    for name in results.multi:
        for model in results.models:
            if not results.seeds(name, model):
                continue
            parts = [("parameters", ",.0f"), ("learning_rate", "g"), ("best_epoch", ".1f"),
                     ("step_cpu_seconds", ".0f"), ("windows_per_cpu_second", ",.0f")]  # fmt: skip
            values = [format(results.mean(name, model, "", m), how) for m, how in parts]
            rows.append([name, model, *values])
    header = ["set", "model", "parameters", "learning rate", "best epoch", "training, CPU s",
              "windows/s, both strands"]  # fmt: skip
    return _table("Size and cost", header, rows, "Of one training, one core; means over seeds.")


def _tests(results: Results) -> str:
    rows = [
        row for row in results.statistics
        if row["against"] and row["label"] == "macro" and row["set"] in results.multi
    ]  # fmt: skip
    corrected: dict[int, float] = {}
    for metric in METRICS:
        own = [row for row in rows if row["metric"] == metric]
        values = holm(np.array([row["p"] for row in own]))
        corrected |= {id(row): p for row, p in zip(own, values, strict=True)}
    lines = [
        [row["set"], row["against"], WORDS[row["metric"]], _number(row["value"], sign=True),
         f"{row['low']:+.3f} to {row['high']:+.3f}", f"{row['p']:.4f}",
         f"{corrected[id(row)]:.4f}"]
        for row in rows
    ]  # fmt: skip
    header = ["set", "against", "macro-", "difference", "95 % interval", "p", "p, Holm"]
    return _table(f"{results.reference} minus each other model", header, lines,
                  "Paired bootstrap over 1-Mb blocks of the test part, seeds averaged; Holm over "
                  "all rows of a metric.")  # fmt: skip


def _labels(results: Results, name: str) -> str:
    models = [m for m in results.models if results.seeds(name, m)]
    rows = []
    for label in results.labels[name]:
        counts = [results.mean(name, "", label, f"{p}_bound") for p in ("train", "test")]
        values = [results.mean(name, m, label, "ap") for m in models]
        best = np.nanmax(values) if not np.isnan(values).all() else np.nan
        words = [f"**{_number(v)}**" if v == best else _number(v) for v in values]
        rows.append([label, *(f"{n:,.0f}" for n in counts), *words])
    header = ["label", "bound, train", "bound, test", *models]
    return _table(f"AP of each label of {name}", header, rows, "Means over seeds, best in bold.")


def gains(results: Results, model: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """AP of the reference minus that of ``model`` for every label of the multi-label sets, its
    bound training windows, and its set: (labels,) each."""
    size, gain, sets = [], [], []
    for name in results.multi:
        for label in results.labels[name]:
            row = results.spread(name, results.reference, label, "ap", model)
            if row and not np.isnan(row["value"]):
                size.append(results.mean(name, "", label, "train_bound"))
                gain.append(row["value"])
                sets.append(name)
    return np.array(gain), np.array(size), sets


def pearson(x, y) -> float:
    """Pearson's correlation; NaN of fewer than three points."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 else float("nan")


def _frequency(results: Results) -> str:
    """Whether rare labels gain more or less than common ones."""
    rows = []
    for model in results.models:
        gain, size, sets = gains(results, model)
        if len(gain) < 3:
            continue
        ranked, third = gain[np.argsort(size, kind="stable")], len(gain) // 3
        rows.append([model, ", ".join(dict.fromkeys(sets)), str(len(gain)),
                     str(int((gain > 0).sum())), _number(ranked[:third].mean(), sign=True),
                     _number(ranked[-third:].mean(), sign=True),
                     _number(pearson(np.log10(size), gain), 2, sign=True)])  # fmt: skip
    header = ["against", "sets", "labels", "better", "gain, rarest third", "gain, commonest third",
              "r with log10 of training windows"]  # fmt: skip
    return _table(f"Gain of {results.reference} in AP and how common a label is", header, rows)


def _binary(results: Results) -> str:
    models = results.models_of(results.binary)
    rows = []
    for name in results.binary:
        label = results.labels[name][0]
        row = [name, f"{results.mean(name, '', '', 'train_windows'):,.0f}"]
        for metric in ("ap", "auroc", "mcc"):
            row += [_number(results.mean(name, m, label, metric)) for m in models]
        rows.append(row)
    columns = [f"{word} {m}" for word in ("AP", "AUROC", "MCC") for m in models]
    return _table("Binary sets", ["set", "training windows", *columns], rows)


def _binary_means(results: Results) -> str:
    """Means over the binary sets of each kind, wins of the reference, and a paired test."""
    from scipy.stats import wilcoxon

    models, rows = results.models_of(results.binary), []
    metrics = ("ap", "auroc", "accuracy", "f1", "mcc")
    sizes = np.array([results.mean(s, "", "", "train_windows") for s in results.binary])
    table = {
        m: np.array([[results.mean(s, m, results.labels[s][0], x) for x in metrics]
                     for s in results.binary])
        for m in models
    }  # fmt: skip
    for model in models:
        size = np.mean([results.mean(s, model, "", "parameters") for s in results.binary])
        row = [model, f"{size:,.0f}", *(_number(v) for v in table[model].mean(0))]
        row.append(f"{(table[model][:, 0] > 0.7).sum()} of {len(results.binary)}")
        row += [_number(pearson(x, table[model][:, 0]), 2) for x in (sizes, np.log10(sizes))]
        if model != results.reference and results.reference in table and len(results.binary) > 5:
            difference = table[results.reference][:, 0] - table[model][:, 0]
            row += [f"{(difference > 0).sum()} of {len(difference)}",
                    f"{wilcoxon(difference).pvalue:.4f}"]  # fmt: skip
        else:
            row += ["", ""]
        rows.append(row)
    header = ["model", "parameters", "AP", "AUROC", "accuracy", "F1", "MCC",
              "sets with AP > 0.7", "r, size", "r, log size", f"{results.reference} better in AP",
              "p, Wilcoxon"]  # fmt: skip
    return _table("Means over the binary sets", header, rows, "Cutoffs chosen on validation.")
