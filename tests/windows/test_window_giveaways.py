"""examples/window_giveaways.py sees lengths and composition, and nothing else."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.gkm import window_set

pytestmark = pytest.mark.checkout

EXAMPLE = runpy.run_path(
    str(Path(__file__).resolve().parents[2] / "examples" / "window_giveaways.py")
)


@pytest.mark.parametrize("given", ["length", "composition", "nothing"])
def test_what_gives_labels_away_is_found(tmp_path, capsys, given):
    windows = window_set(600, 100, share=0.0)
    windows.labels[::2] = 1
    part = np.arange(600) // 2 % 2 * 2  # train and test in turns
    if given == "length":  # the bound ones are as long as each other, the others shorter or longer
        for row in range(600):
            ends = 10 if row % 2 == 0 else (5, 15)[row // 4 % 2]
            windows.codes[row, :ends] = windows.codes[row, 100 - ends :] = 4
    if given == "composition":
        windows.codes[::2, 20:80:3] = 2
    replace(windows, part=part.astype(np.uint8)).save(tmp_path)
    EXAMPLE["main"]([str(tmp_path)])
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows] == ["length", "composition", "both"]
    found = {row[1]: float(row[2]) for row in rows}
    for name, auroc in found.items():
        assert (auroc > 0.95) == (given == name or (name == "both" and given != "nothing")), found
