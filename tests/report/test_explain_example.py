"""examples/explain.py runs from the bundled model to a page."""

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "explain.py"


@pytest.mark.slow
def test_the_example_explains_the_demo_region(tmp_path, capsys):
    pytest.importorskip("modiscolite", reason="the extra motifs is not installed")
    pytest.importorskip("memelite", reason="the extra motifs is not installed")
    main = runpy.run_path(str(EXAMPLE))["main"]
    page = main(["-o", str(tmp_path / "out"), "-t", "CTCF@K562", "--top", "60", "--steps", "3"])
    assert "CTCF" in capsys.readouterr().out
    text = page.read_text()
    for word in ("CTCF@K562", "own motif", "predicted", "real peaks", "calls", "chr20_34-36Mb:"):
        assert word in text
    assert len(text) < 1e6 and "http" not in text
