"""The model of 1 to 1,000 GPUs: its tables in docs/scaling.md are those of today's rows."""

from dataclasses import replace

import pytest

from benchmarks.scan import scale as model

pytestmark = pytest.mark.checkout


def test_the_page_has_the_tables_of_the_rows():
    """python -m benchmarks.scan.scale model --write writes them."""
    text = model.PAGE.read_text()
    assert model.page(text, 1000, model.Measured.of_results(), model.Assumed()) == text


def test_by_hand():
    """Ten genomes of two stretches each, on numbers that are easily multiplied."""
    measured = model.Measured(2.0 * model.STRETCH, 1.0, 5.0, 3.0, 100.0)
    assumed = model.Assumed(network=10.0, store=1e6, image=2e6, node=1, receipt=0.5, mergers=2)
    whole = model.seconds(2, 10, measured, assumed, True)
    assert whole["workers"] == 5 * 10 + 10 * 5 / 2 and whole["merge"] == 0
    assert whole["start"] == 3 + 2 * 2 and whole["scheduler"] == 10 * 0.5
    assert whole["store"] == pytest.approx((10 * model.STRETCH / 2 + 2000) / 1e6)
    assert model.total(whole) == 7 + whole["store"] and whole["store"] > 75
    cut = model.seconds(3, 10, measured, assumed, False)
    assert cut["workers"] == 7 * 5 and cut["merge"] == 25 and cut["scheduler"] == 10
    slow = model.seconds(2, 10, measured, replace(assumed, network=0.5), True)
    assert slow["workers"] == 5 * 1.0 + 25  # the core beside the GPU binds


def test_units():
    assert model.whole_genomes(24, 100) and not model.whole_genomes(25, 100)
