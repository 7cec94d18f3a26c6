"""examples/gkm_centre.py tells sites in the middle from weights in the middle."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.gkm import MOTIF, window_set

from tcnfast.base.errors import TcnfastError

pytestmark = pytest.mark.checkout

EXAMPLE = runpy.run_path(str(Path(__file__).resolve().parents[2] / "examples" / "gkm_centre.py"))
SHAPE = '{"l": 6, "k": 4, "d": 1, "half_life": 12}'


@pytest.fixture(scope="module", name="folder")
def fixture_folder(tmp_path_factory):
    """Windows of 200 bases; the bound ones hold the motif in their middle."""
    windows = window_set(500, 200, share=0.0)
    windows.labels[::2] = 1
    windows.codes[::2, 95:105] = MOTIF
    part = (np.arange(500) % 5 == 0).astype(np.uint8)  # a fifth to validate
    folder = tmp_path_factory.mktemp("set")
    replace(windows, part=part).save(folder)
    return folder


def test_the_picture_follows_the_site_and_its_null_the_weights(folder, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    words = [
        str(folder),
        "-o",
        str(tmp_path / "out"),
        "--length",
        "120",
        "--shift",
        "40",
        "--repeats",
        "1",
        "--shape",
        SHAPE,
    ]
    found = {(x.weighting, x.windows): x for x in EXAMPLE["main"](words)}
    assert "share_built_in" in capsys.readouterr().out
    centred, moved, null = (found["none", x] for x in ("centred", "moved", "labels shuffled"))
    assert centred.heat.shape == (50, 115) and abs(centred.built_in() - 51 / 115) < 1e-6
    assert centred.share() > centred.built_in() + 0.1 and centred.auroc > 0.95
    assert moved.share(at_site=True) > moved.share() + 0.05
    assert abs(null.share() - null.built_in()) < 0.05
    weighted, empty = found["centre", "centred"], found["centre", "labels shuffled"]
    assert weighted.built_in() > 0.6 and abs(empty.share() - empty.built_in()) < 0.05
    assert weighted.share() > weighted.share(plain=True) > 51 / 115 + 0.1
    for name in ("summary.tsv", "positions.tsv", "gkm_centre.png"):
        assert (tmp_path / "out" / name).stat().st_size > 100


def test_moves_take_longer_windows(folder, tmp_path):
    with pytest.raises(TcnfastError, match="moved by 50 takes 300"):
        EXAMPLE["main"]([str(folder), "-o", str(tmp_path / "out")])
