"""Tables of a study that names pairs of models, of its sets of one label: every score with its
interval and its cost in one row, and the differences of the pairs."""

from __future__ import annotations

from .binary_tables import cost
from .study_tables import Results, number, table

_SCORES = {"auroc": "AUROC", "accuracy": "accuracy", "precision": "precision", "recall": "recall"}
_TESTED = {"auroc": "AUROC", "accuracy": "accuracy"}


def pair_tables(results: Results) -> list[str]:
    """Nothing where a study names no pairs."""
    rows = results.statistics
    rows = rows[(rows["against"] != "") & (rows["model"] != results.reference)]
    pairs = rows[["set", "model", "against"]].drop_duplicates().itertuples(index=False)
    pairs = [tuple(pair) for pair in pairs if pair[0] in results.binary]
    return [_intervals(results), _differences(results, pairs)] if pairs else []


def _intervals(results: Results) -> str:
    rows = []
    for name in results.binary:
        label = results.labels[name][0]
        for model in results.models_on(name):
            found = [results.spread(name, model, label, metric) for metric in _SCORES]
            row = [name, model, str(len(results.seeds(name, model)))]
            row += [f"{x['value']:.3f} ({x['low']:.3f} to {x['high']:.3f})" for x in found]
            _, trained, predicted = cost(results, name, model)
            rows.append([*row, f"{trained:.3g}", f"{predicted:.3g}"])
    header = "|".join(["set", "model", "seeds", *_SCORES.values()])
    header += "|training, s per 1,000 windows|prediction, s per 1,000 windows"
    note = (
        "Means over seeds, with 95 % intervals over 1-Mb blocks of the test part; cutoffs chosen "
    )
    note += "on validation. Processor seconds, validation included."
    return table("Scores of the binary sets with intervals, and cost", header, rows, note, texts=2)


def _differences(results: Results, pairs: list[tuple[str, str, str]]) -> str:
    rows = []
    for name, first, second in pairs:
        row = [name, first, second]
        for metric in _TESTED:
            x = results.spread(name, first, results.labels[name][0], metric, second)
            row += [number(x["value"], sign=True), f"{x['low']:+.3f} to {x['high']:+.3f}"]
            row.append(f"{x['p']:.4f}")
        rows.append(row)
    columns = [(word, "95 % interval", "p") for word in _TESTED.values()]
    header = "|".join(["set", "model", "minus", *(x for three in columns for x in three)])
    note = "Paired bootstrap over 1-Mb blocks of the test part, seeds averaged; p not corrected."
    return table("Differences of pairs", header, rows, note, texts=3)
