"""The report of gpu_check.py: what was proven, what was not, and the figures."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.gpu_stages import CUT, FAILED, LEFT_OUT, PASSED, Result


def report(facts: dict, results: list[Result], table: Path, date: str, sources: str) -> str:
    """The .md of a run so far."""
    lines = [f"# Kernels on {facts['gpu']}, {date}", ""]
    open_ = [r.name for r in results if r.state in (CUT, LEFT_OUT) and r.name.startswith("tests")]
    if open_:
        lines += [f"**No full proof: {', '.join(open_)} did not run to the end.**", ""]
    red = [r.name for r in results if r.state == FAILED]
    if red:
        lines += [f"**Red: {', '.join(red)}.**", ""]
    lines += [
        f"- machine: {', '.join(f'{name} {value}' for name, value in facts.items())}",
        f"- sources {sources}",
        "- columns of the figures: the head of benchmarks/kernels/device.py",
        "",
        "stage | result | seconds",
        "---|---|---",
    ]
    for result in results:
        words = result.words.replace("|", "/")
        lines.append(f"{result.name} | {result.state}: {words} | {result.seconds:.0f}")
    for result in results:
        failed = [test for tests in result.red.values() for test in tests]
        if failed or result.notes:
            lines += ["", f"## {result.name}", ""]
            lines += [f"- failed: {test}" for test in failed]
            lines += [f"- {note}" for note in result.notes]
    rows = []
    if table.exists():
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
    for row in rows:
        if row["form"] == "ceiling":
            rate = f"{row['tflop_s']} TFLOP/s" if row["tflop_s"] else row["note"]
            lines += ["", f"- ceiling: {row['side']}: {rate}"]
    return "\n".join([*lines, *tables([row for row in rows if row["form"] != "ceiling"]), ""])


def tables(rows: list[dict]) -> list[str]:
    """A table a case."""
    lines = []
    case = None
    for row in rows:
        if (row["case"], row["form"], row["precision"]) != case:
            case = row["case"], row["form"], row["precision"]
            head = "side | ms (p20 to p80) | called ms | TFLOP/s | roofline | MiB | vs best | "
            lines += ["", f"## {' '.join(case)}", "", f"{head}pruning | note"]
            lines.append("|".join(["---"] * 9))
        cells = [row["side"], "", "", *(row[c] for c in ("tflop_s", "roofline", "peak_mib"))]
        if row["median_s"]:
            low, middle, high, called = (
                f"{1e3 * float(row[c]):.4g}" for c in ("p20_s", "median_s", "p80_s", "called_s")
            )
            cells[1:3] = f"{middle} ({low} to {high})", called
        cells += [row["vs_best_other"], row["pruning_gain"], row["note"].replace("|", "/")]
        lines.append(" | ".join(cells))
    return lines


def verdict(results: list[Result]) -> int:
    """The exit code: 0 where every stage that ran passed and none was cut or left out."""
    bad = {FAILED, CUT, LEFT_OUT}
    proven = any(r.state == PASSED for r in results if r.name.startswith("tests"))
    return 0 if proven and not any(r.state in bad for r in results) else 1
