"""Scans by symmetric networks: one pass for every strand, and the calls of both."""

import logging

import numpy as np
import pytest
from support.cli import scan_words
from support.models import untied
from support.scan import calling_model, files_in, run_record_of
from support.scanner import assert_scores, by_hand, contig, scorer_of, scores

from tcnfast.base.options import STRANDS
from tcnfast.cobind.window_scores import WindowScorer
from tcnfast.engines import plan

SHAPE = dict(symmetric=True, channels=6, first_kernel=7, label_bin=40)


@pytest.fixture(name="ready")
def fixture_ready(monkeypatch):
    """The stacks that plans make ready."""
    made = []
    for name, prepare in list(plan.PREPARE.items()):

        def counted(*given, prepare=prepare):
            made.append(1)
            return prepare(*given)

        monkeypatch.setitem(plan.PREPARE, name, counted)
    return made


@pytest.mark.parametrize("stride", [1, 8, 512])
@pytest.mark.parametrize("strand", STRANDS)
def test_scores_are_those_of_either_strand(make_model, ready, stride, strand):
    model = make_model(**SHAPE)
    codes = contig(1500 if stride == 1 else 6001, gaps=[(200, 330), (900, 941)])
    got = scores(scorer_of(model, stride, strand), codes, segment_bases=700)
    assert len(ready) == 1
    assert_scores(got, by_hand(model, codes, stride, strand))
    assert_scores(got, scores(scorer_of(untied(model), stride, strand), codes))
    plus = scores(scorer_of(model, stride, "+"), codes)
    np.testing.assert_array_equal(got, plus)


@pytest.mark.parametrize("strand", STRANDS)
def test_the_command_runs_once_and_says_so(run, home, tmp_path, ready, caplog, strand):
    caplog.set_level(logging.INFO)
    model = calling_model(**SHAPE)
    model.save(tmp_path / "m")
    ready.clear()
    code, _, err = run(*scan_words(home, "out", "-m", tmp_path / "m", "--strand", strand))
    assert code == 0, err
    assert len(ready) == 1
    words = "symmetric network: both strands score the same, one pass gives both"
    assert words in err + caplog.text
    assert run_record_of("out")["one_pass"] is True
    code, _, err = run(*scan_words(home, "plus", "-m", tmp_path / "m", "--strand", "+"))
    assert code == 0, err
    assert files_in("out") == files_in("plus") and len(files_in("out")) > 1


def test_windows_of_cobinding_run_once(make_model, ready):
    model = make_model(**SHAPE)
    scorer = WindowScorer(model, device="cpu", precision="fp32")
    assert len(ready) == 1
    codes = np.random.default_rng(0).integers(0, 4, (5, model.receptive_field), np.uint8)
    want = WindowScorer(untied(model), device="cpu", precision="fp32")(codes)
    np.testing.assert_allclose(scorer(codes), want, atol=1e-5)
    assert len(ready) == 3
