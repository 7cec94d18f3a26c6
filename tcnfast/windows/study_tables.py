"""Tables of a study, from results.csv and statistics.csv alone: those of sets of several labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .statistics import holm
from .study_results import RESULTS, STATISTICS, TIMES, read_rows
from .window_set import PARTS

WORDS = {"ap": "AP", "auroc": "AUROC", "f1": "F1"}


class Results:
    """results.csv and statistics.csv of a folder, looked up by what they are of.

    A set of one label is binary. Models keep the order of the file; ``reference`` is the one that
    the others are tested against.
    """

    def __init__(self, folder: str | Path) -> None:
        rows, self.statistics = (read_rows(Path(folder) / name) for name in (RESULTS, STATISTICS))
        if (times := Path(folder) / TIMES).exists():  # older folders have them among the results
            rows = pd.concat([rows, read_rows(times)], ignore_index=True)
        keys = ["set", "model", "label", "metric"]
        self.values: dict[tuple, list[float]] = rows.groupby(keys)["value"].agg(list).to_dict()
        self.sets = rows["set"].unique().tolist()
        self.models = [model for model in rows["model"].unique() if model]
        named = rows[(rows["model"] == "") & (rows["metric"] == "train_bound")]
        self.labels = {s: named["label"][named["set"] == s].tolist() for s in self.sets}
        tests = self.statistics[self.statistics["against"] != ""]
        self.reference = next(iter(tests["model"]), "")
        keys = ["set", "model", "against", "label", "metric"]
        rows = self.statistics.to_dict("records")
        self._spread = {tuple(row[key] for key in keys): row for row in rows}

    @property
    def multi(self) -> list[str]:
        return [s for s in self.sets if len(self.labels[s]) > 1]

    @property
    def binary(self) -> list[str]:
        return [s for s in self.sets if len(self.labels[s]) == 1]

    def models_of(self, sets: list[str]) -> list[str]:
        """Models that were run on every one of the sets."""
        return [m for m in self.models if sets and all(self.seeds(s, m) for s in sets)]

    def models_on(self, set_name: str) -> list[str]:
        return [model for model in self.models if self.seeds(set_name, model)]

    def seeds(self, set_name: str, model: str) -> list[float]:
        """Macro-AP of each seed."""
        return self.values.get((set_name, model, "macro", "ap"), [])

    def mean(self, set_name: str, model: str, label: str, metric: str) -> float:
        """Mean over seeds; NaN where there is none."""
        found = self.values.get((set_name, model, label, metric))
        return float(np.mean(found)) if found else float("nan")

    def of_set(self, set_name: str, metric: str, label: str = "") -> float:
        """A count of the set itself."""
        return self.mean(set_name, "", label, metric)

    def spread(self, set_name: str, model: str, label: str, metric: str, against: str = "") -> dict:
        """The row of statistics.csv: value, low, high, p; empty where there is none."""
        return self._spread.get((set_name, model, against, label, metric), {})


def multi_tables(results: Results) -> list[str]:
    """Of the sets of several labels."""
    parts = [_sets(results), *(_scores(results, s) for s in results.multi), _costs(results)]
    parts += [_tests(results), *(_labels(results, s) for s in results.multi)]
    return [*parts, _frequency(results)]


def table(title: str, header: str, rows: list[list[str]], note: str = "", texts: int = 1) -> str:
    """A table in Markdown, whose ``header`` has "|" between its columns; the first ``texts``
    columns are words; "" without rows."""
    if not rows:
        return ""
    names = header.split("|")
    lines = [names, ["---"] * texts + ["---:"] * (len(names) - texts), *rows]
    head = [f"**{title}**{note and '. ' + note}", ""]
    return "\n".join([*head, *("| " + " | ".join(line) + " |" for line in lines), ""])


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    return "" if np.isnan(value) else f"{value:{'+' if sign else ''}.{digits}f}"


def _sets(results: Results) -> str:
    rows = []
    for name in results.multi:
        sizes = [f"{results.of_set(name, f'{part}_windows'):,.0f}" for part in PARTS]
        bound = [results.of_set(name, "train_bound", x) for x in results.labels[name]]
        rows.append([name, str(len(bound)), *sizes, f"{min(bound):,.0f} to {max(bound):,.0f}"])
    header = "set|labels|train|valid|test|bound training windows of a label"
    return table("Multi-label sets", header, rows)


def _scores(results: Results, name: str) -> str:
    rows = []
    for model in results.models_on(name):
        seeds, row = results.seeds(name, model), []
        for metric in WORDS:
            found = results.spread(name, model, "macro", metric)
            row.append(number(results.mean(name, model, "macro", metric)))
            if found and not np.isnan(found["low"]):
                row[-1] += f" ({found['low']:.3f} to {found['high']:.3f})"
        row.append(number(float(np.std(seeds, ddof=1)), 4) if len(seeds) > 1 else "")
        row += [number(results.mean(name, model, "micro", m)) for m in WORDS]
        row.append(number(results.mean(name, model, "all", "hamming_loss"), 4))
        row.append(number(results.mean(name, model, "macro", "ece"), 4))
        rows.append([model, str(len(seeds)), *row])
    header = "model|seeds|macro-AP|macro-AUROC|macro-F1|SD of AP over seeds|"
    header += "micro-AP|micro-AUROC|micro-F1|Hamming loss|calibration error"
    note = "Means over seeds; in brackets 95 % intervals over 1-Mb blocks."
    return table(f"Scores on {name}, test part", header, rows, note)


def _costs(results: Results) -> str:
    forms = {"parameters": ",.0f", "learning_rate": "g", "best_epoch": ".1f"}
    forms |= {"step_cpu_seconds": ".0f", "windows_per_cpu_second": ",.0f"}
    rows = [
        [name, m, *(format(results.mean(name, m, "", x), form) for x, form in forms.items())]
        for name in results.multi
        for m in results.models_on(name)
    ]
    header = "set|model|parameters|learning rate|best epoch|training, CPU s|windows/s, both strands"
    return table("Size and cost", header, rows, "Of one training, one core; means over seeds.")


def _tests(results: Results) -> str:
    rows = results.statistics
    rows = rows[(rows["against"] != "") & (rows["label"] == "macro")]
    rows = rows[rows["set"].isin(results.multi) & rows["metric"].isin(list(WORDS))]
    rows = rows[rows["model"] == results.reference]
    corrected = rows.groupby("metric")["p"].transform(lambda p: holm(p.to_numpy()))
    lines = []
    for row, p in zip(rows.itertuples(), corrected, strict=True):
        line = [row.set, row.against, WORDS[row.metric], number(row.value, sign=True)]
        lines.append([*line, f"{row.low:+.3f} to {row.high:+.3f}", f"{row.p:.4f}", f"{p:.4f}"])
    header = "set|against|macro-|difference|95 % interval|p|p, Holm"
    note = "Paired bootstrap over 1-Mb blocks of the test part, seeds averaged; Holm over all rows "
    note += "of a metric."
    return table(f"{results.reference} minus each other model", header, lines, note)


def _labels(results: Results, name: str) -> str:
    models, rows = results.models_on(name), []
    for label in results.labels[name]:
        counts = [f"{results.of_set(name, f'{p}_bound', label):,.0f}" for p in ("train", "test")]
        values = [results.mean(name, m, label, "ap") for m in models]
        best = np.nanmax(values) if not np.isnan(values).all() else np.nan
        words = [f"**{number(v)}**" if v == best else number(v) for v in values]
        rows.append([label, *counts, *words])
    header = "|".join(["label", "bound, train", "bound, test", *models])
    return table(f"AP of each label of {name}", header, rows, "Means over seeds, best in bold.")


def gains(results: Results, model: str) -> pd.DataFrame:
    """AP of the reference minus that of ``model``, "value", for every label of the multi-label
    sets, and its bound training windows, "size"."""
    rows = results.statistics
    rows = rows[(rows["model"] == results.reference) & (rows["against"] == model)]
    rows = rows[(rows["metric"] == "ap") & (rows["label"] != "macro") & rows["value"].notna()]
    rows = rows[rows["set"].isin(results.multi)]
    places = zip(rows["set"], rows["label"], strict=True)
    return rows.assign(size=[results.of_set(s, "train_bound", label) for s, label in places])


def pearson(x, y) -> float:
    """Pearson's correlation; NaN of fewer than three points."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 else float("nan")


def _frequency(results: Results) -> str:
    """Whether rare labels gain more or less than common ones."""
    rows = []
    for model in results.models:
        found = gains(results, model)
        gain, third = found["value"], len(found) // 3
        if not third:
            continue
        ranked = found.sort_values("size", kind="stable")["value"]
        means = [number(x.mean(), sign=True) for x in (ranked[:third], ranked[-third:])]
        counts = [", ".join(found["set"].unique()), str(len(gain)), str(int((gain > 0).sum()))]
        rows.append(
            [model, *counts, *means, number(pearson(np.log10(found["size"]), gain), 2, sign=True)]
        )
    header = "against|sets|labels|better|gain, rarest third|gain, commonest third|"
    header += "r with log10 of training windows"
    return table(f"Gain of {results.reference} in AP and how common a label is", header, rows)
