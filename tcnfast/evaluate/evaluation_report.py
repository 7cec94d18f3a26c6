"""What ``tcnfast evaluate`` tells: a table of labels, a summary of means, a few lines of words."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.disk import write_text
from ..base.talk import count
from ..model.metrics import MIN_POSITIVES
from .assessment import EDGES, RECALLS, WITH_REPLICATES, Assessment, Difference, compare, left_out
from .bootstrap import BLOCK, LEVEL, MIN_BLOCKS
from .call_report import CallReport
from .evaluation_folder import CURVES, SCORES, SUMMARY, Curves
from .evaluation_page import write_page
from .floors import Floors

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"ap": "AP", "auroc": "AUROC", "f1": "F1"}  # as a table spells them; others as they are

FLOORS = {
    "named_motif": "best motif named for the factor",
    "best_motif": "best motif of all",
    "cpg": "CpG content",
    "best_motif_and_cpg": "the better of best motif and CpG content",
}


@dataclass(frozen=True)
class Evaluation:
    """One model on one part of the split; beside it another model (``other``, on the labels that
    both have) and single motifs, where asked for."""

    model: str
    part: str
    cutoff: str
    assessment: Assessment
    against: str | None = None
    other: Assessment | None = None
    floors: Floors | None = None
    calls: CallReport | None = None
    path: Path | None = None  # of the folder, where one was written

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """Of ``ap`` and ``auroc``, this model minus the other, over the labels of the other."""
        if self.other is None:
            return {}
        rows = [self.assessment.labels.index(label) for label in self.other.labels]
        ours = self.assessment.take(rows)
        return {name: compare(ours, self.other, name) for name in ("ap", "auroc")}

    def columns(self) -> dict[str, list[str]]:
        """The table by columns, a cell a label; NaN is an empty score."""
        a, scores = self.assessment, self.assessment.scores
        columns = {
            "label": a.labels,
            "AP": _cells(a.values["ap"]),
            "AUROC": _cells(a.values["auroc"]),
            "positives": [str(count) for count in a.positives],
            "chance": _cells(scores.chance, 5),
        }
        for name in WITH_REPLICATES:
            title = NAMES.get(name, name)
            columns.setdefault(title, _cells(a.values[name]))
            for end, values in zip(("low", "high"), a.interval(name), strict=True):
                columns[f"{title}_{end}"] = _cells(values)
        columns["ece"] = _cells(a.values["ece"], 6)
        columns["predicted"] = _cells(a.values["predicted"], 3)
        columns["positives_island"] = [str(count) for count in a.positives_island]
        columns["AP_island"] = _cells(a.values["ap_island"])
        columns["AP_elsewhere"] = _cells(a.values["ap_elsewhere"])
        if self.calls:
            for name, values in self.calls.columns().items():
                columns[name] = [*map(str, values)] if values.dtype.kind == "i" else _cells(values)
        if self.floors:
            columns["named_motif"] = self.floors.named_motif
            columns["named_motif_AP"] = _cells(self.floors.named_ap)
            columns["best_motif"] = self.floors.best_motif
            columns["best_motif_AP"] = _cells(self.floors.best_ap)
            columns["CpG_AP"] = _cells(self.floors.cpg_ap)
        if self.other:
            columns |= self._difference_columns()
        return columns

    def _difference_columns(self) -> dict[str, list[str]]:
        difference = self.differences["ap"]
        parts = {
            "against_AP": self.other.values["ap"],
            "AP_difference": difference.value,
            "AP_difference_low": difference.low,
            "AP_difference_high": difference.high,
            "AP_difference_p": difference.p,
        }
        columns = {}
        for name, values in parts.items():
            known = dict(zip(self.other.labels, values.tolist(), strict=True))
            whole = np.array([known.get(label, np.nan) for label in self.assessment.labels])
            columns[name] = _cells(whole)
        return columns

    def table(self) -> str:
        """The columns as tab-separated text with a header."""
        columns = self.columns()
        rows = ["\t".join(columns), *map("\t".join, zip(*columns.values(), strict=True))]
        return "\n".join(rows) + "\n"

    def frame(self) -> pd.DataFrame:
        """The same as a pandas table, with numbers."""
        import pandas

        return pandas.read_csv(io.StringIO(self.table()), sep="\t")

    def summary(self) -> dict:
        """Means over labels, and what they are means of, as JSON values."""
        a = self.assessment
        macro = {}
        for name in (*WITH_REPLICATES, "ece", "predicted", "ap_island", "ap_elsewhere"):
            macro[name] = {"value": _number(a.macro(name))}
            if name in a.replicates:
                low, high = a.macro_interval(name)
                macro[name] |= {"low": _number(low), "high": _number(high)}
        summary = {
            "model": self.model,
            "part": self.part,
            "cutoff": self.cutoff,
            "labels": len(a.labels),
            "counted_labels": int(a.counted.sum()),
            "min_positives": MIN_POSITIVES,
            "left_out": left_out(a),
            "blocks": a.n_blocks,
            "block_bases": BLOCK,
            "resamples": a.replicates["ap"].shape[1],
            "interval": LEVEL,
            "macro": macro,
        }
        if self.calls:
            summary["calls"] = int(self.calls.found.calls.sum())
        if self.floors:
            summary["floors"] = self._floor_summary()
        if self.other:
            summary["against"] = {"model": self.against, "labels": len(self.other.labels)} | {
                name: {
                    "difference": _number(x.macro),
                    "low": _number(x.macro_low),
                    "high": _number(x.macro_high),
                    "p": _number(x.macro_p),
                }
                for name, x in self.differences.items()
            }
        return summary

    def _floor_summary(self) -> dict:
        """Means of the floors over the counted labels, and on how many the model is above."""
        counted, ap = self.assessment.counted, self.assessment.values["ap"]
        floors = {
            "named_motif": self.floors.named_ap,
            "best_motif": self.floors.best_ap,
            "cpg": self.floors.cpg_ap,
            "best_motif_and_cpg": np.fmax(self.floors.best_ap, self.floors.cpg_ap),
        }
        return {
            name: {
                "macro_ap": _number(floor[counted].mean() if counted.any() else np.nan),
                "above": int((ap[counted] > floor[counted]).sum()),
            }
            for name, floor in floors.items()
        }

    def words(self) -> list[str]:
        """The summary for a reader."""
        a, summary = self.assessment, self.summary()
        counted, macro = summary["counted_labels"], summary["macro"]
        lines = [
            f"macro-AP {_span(macro['ap'])}, macro-AUROC {_span(macro['auroc'])} over "
            f"{count(counted, 'label')} with at least {MIN_POSITIVES} bound windows",
            f"best F1 {_span(macro['f1'])}; recall at FDR 10 % {_span(macro['recall_fdr10'])}, at "
            f"FDR 50 % {_span(macro['recall_fdr50'])}",
            f"at the cutoff {self.cutoff}: precision {_span(macro['precision'])}, recall "
            f"{_span(macro['recall'])}",
            f"calibration: expected error {a.macro('ece'):.5f}, predicted over observed bound "
            f"windows {a.macro('predicted'):.3f}",
            f"macro-AP inside CpG islands {a.macro('ap_island'):.4f}, elsewhere "
            f"{a.macro('ap_elsewhere'):.4f}",
        ]
        if summary["resamples"]:
            drawn = f"{count(summary['resamples'], 'resample')} of {count(a.n_blocks, 'block')}"
            lines.append(f"[95 % intervals: {drawn} of {BLOCK // 10**6} Mb]")
        elif a.n_blocks < MIN_BLOCKS:
            lines.append(f"no intervals: the windows lie in fewer than {MIN_BLOCKS} blocks of 1 Mb")
        lines += self.calls.words() if self.calls else []
        uncalled = int(np.isnan(a.values["precision"][a.counted]).sum())
        if uncalled:
            labels = count(uncalled, "label")
            lines.append(f"{labels} without a call there: not in the mean of precision")
        if summary["left_out"]:
            lines.append("left out of means: " + ", ".join(summary["left_out"]))
        for name, floor in summary.get("floors", {}).items():
            macro_ap = "-" if floor["macro_ap"] is None else f"{floor['macro_ap']:.4f}"
            above = f"the model is above on {floor['above']} of {counted}"
            lines.append(f"{FLOORS[name]}: macro-AP {macro_ap}; {above}")
        for name, x in self.differences.items():
            words = f"macro-{NAMES[name]} minus that of {self.against}, "
            words += f"{count(len(self.other.labels), 'label')}: {x.macro:+.4f}"
            if not np.isnan(x.macro_p):
                words += f" [{x.macro_low:+.4f}, {x.macro_high:+.4f}], p {x.macro_p:.3g}"
            lines.append(words)
        return lines

    def write(self, folder: Path) -> None:
        """Write scores.tsv, summary.json, curves.npz, the plots and the page into ``folder``."""
        a = self.assessment
        write_text(folder / SCORES, self.table())
        text = json.dumps(self.summary(), indent=2, allow_nan=False) + "\n"
        write_text(folder / SUMMARY, text)
        curves = Curves(a.labels, a.counted, RECALLS, a.precisions, EDGES, a.reliability)
        curves.write(folder / CURVES)
        write_page(folder, self.words())


def _cells(values: np.ndarray, digits: int = 4) -> list[str]:
    return [f"{value:.{digits}f}" for value in values.tolist()]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _span(entry: dict) -> str:
    """A mean with its interval, as in ``0.2285 [0.1883, 0.2634]``."""
    if entry["value"] is None:
        return "-"
    interval = ""
    if entry["low"] is not None:
        interval = f" [{entry['low']:.4f}, {entry['high']:.4f}]"
    return f"{entry['value']:.4f}{interval}"
