"""calls.tsv and grades.tsv: cutoffs read off a ladder, and what is expected there."""

import numpy as np
import pytest
from support.ladders import calls_of, ladder

from tcnfast.base.errors import TcnfastError
from tcnfast.model.cutoffs import choose_cutoffs
from tcnfast.model.grades import CALLS, GRADED, grade, read_calls, write_calls
from tcnfast.model.thresholds import Threshold


def logit(p):
    return np.log(p / (1 - p))


def test_what_is_written_is_read(tmp_path):
    unknown = np.full(4, np.nan)
    calls = calls_of([ladder("a"), ladder("b", relaxed_precision=unknown)], "AD", [ladder("b")])
    write_calls(tmp_path, calls)
    again = read_calls(tmp_path, ["b", "a"])
    assert again.grades == calls.grades and list(again.ladders) == ["b", "a"]
    assert list(again.within) == ["b"]
    for label, one in calls.ladders.items():
        for name in ("threshold", "precision", "relaxed_precision", "recall", "share"):
            got = getattr(again.ladders[label], name)
            np.testing.assert_allclose(got, getattr(one, name), rtol=1e-3)
    write_calls(tmp_path, None)
    assert read_calls(tmp_path, ["a"]) is None and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, old, new, words",
    [
        (CALLS, "0.5\t", "1.5\t", "calls.tsv:2: threshold 1.5 is no probability, or out of order"),
        (CALLS, "0.5\t", "0.9\t", "calls.tsv:3: threshold .* out of order"),
        (CALLS, "\t0.2\t", "\thigh\t", "calls.tsv:2: could not convert"),
        (CALLS, "recall_low", "low", "column 'recall_low' is missing"),
        (CALLS, "a\t", "c\t", "no ladder for label 'a'"),
        (GRADED, "\tA\t", "\tE\t", "grades.tsv:2: grade 'E' is none of A, B, C, D"),
        (GRADED, "a\tA", "c\tA", "no grade for label 'a'"),
    ],
)
def test_a_broken_table_names_its_line(tmp_path, name, old, new, words):
    write_calls(tmp_path, calls_of([ladder("a")], "A"))
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TcnfastError, match=words):
        read_calls(tmp_path, ["a"])


def test_between_rungs_all_is_straight_in_the_logit():
    cutoff = ladder().at(1 / (1 + np.exp(-0.5)))
    got = cutoff.precision, cutoff.recall, cutoff.low, cutoff.high, cutoff.relaxed
    np.testing.assert_allclose(got, [0.3, 0.7, 0.2, 0.4, 0.35])
    above = ladder().at(0.99)
    assert (above.precision, above.recall) == (0.8, 0.2)
    below = ladder().at(0.4)
    assert below.threshold == 0.4 and np.isnan([below.precision, below.recall]).all()


@pytest.mark.parametrize("wanted, at", [(0.5, 1.5), (0.4, 1), (0.65, 2.25), (0.1, 0)])
def test_a_precision_has_the_lowest_cutoff_that_is_expected_to_have_it(wanted, at):
    cutoff = ladder().at_precision(wanted)
    assert logit(cutoff.threshold) == pytest.approx(at, abs=1e-5)
    assert cutoff.precision == pytest.approx(max(wanted, 0.2), abs=1e-5)


def test_what_the_interval_does_not_reach_is_out_of_reach():
    assert ladder().at_precision(0.7) is not None
    assert ladder().at_precision(0.71) is None  # .8 is expected, with a lower end of .7
    few = np.array([100, 100, 100, 19.0])
    assert ladder(calls=few).at_precision(0.51) is None
    assert ladder(calls=few).at_precision(0.5) is not None
    assert ladder().at_recall(0.7) is not None and ladder().at_recall(0.71) is None


def test_a_recall_has_the_highest_cutoff_that_finds_it():
    cutoff = ladder().at_recall(0.5)
    assert logit(cutoff.threshold) == pytest.approx(1.5, abs=1e-5)
    flat = ladder(recall=(0.8, 0.6, 0.6, 0.2)).at_recall(0.6)
    assert logit(flat.threshold) == pytest.approx(2, abs=1e-5)


def test_the_default_is_the_best_f1_with_half_of_the_calls_right():
    best = ladder().best()  # F1 is .48 at both middle rungs, and half are right from 1.5 on
    assert logit(best.threshold) == pytest.approx(1.5, abs=1e-5)
    assert best.precision == pytest.approx(0.5, abs=1e-5)
    never = ladder(precision=(0.1, 0.2, 0.25, 0.3)).best()
    assert logit(never.threshold) == pytest.approx(2, abs=1e-5), "best F1 without the half"
    always = ladder(precision=(0.7, 0.7, 0.7, 0.8)).best()
    assert logit(always.threshold) == pytest.approx(0, abs=1e-5)


def test_percentiles_are_the_share_of_steps_below():
    one = ladder()
    np.testing.assert_allclose(one.percentile(one.threshold), 100 * (1 - one.share))
    beyond = one.percentile(np.array([0.4, 0.96, 0.99, 0.999]))
    assert np.isnan(beyond[0]) and (np.diff(beyond[1:]) > 0).all() and beyond[-1] < 100


def test_rules_on_ladders():
    thresholds = {x: Threshold(x, 0.6, 0.9, 0.9, 7) for x in "ab"}
    low = ladder("b", precision=(0.1, 0.2, 0.25, 0.3))
    calls = calls_of([ladder("a"), low], "AD", [ladder("a", precision=(0.5, 0.6, 0.7, 0.9))])

    def chosen(rule, **more):
        return choose_cutoffs(thresholds, ["a", "b"], rule, calls, **more)

    for rule in ("precision=0.45", "recall=0.55", "best", "f1", "0.55"):
        assert chosen(rule)["a"].precision > 0
    assert chosen("precision=0.45")["b"] is None
    assert chosen("f1")["a"].threshold == 0.6 and chosen("f1")["a"].precision != 0.9
    assert chosen("0.55")["b"].precision == pytest.approx(0.12, abs=0.001)
    inside, outside = chosen("0.55", within=True).values()
    assert inside.precision == pytest.approx(0.52, abs=0.001)
    assert outside.threshold == 0.55 and np.isnan(outside.precision), "was not measured inside"


@pytest.mark.parametrize(
    "peaks, ap, motif_ap, precision, recall, letter",
    [
        (50, 0.3, 0.1, (0.2, 0.5, 0.6, 0.8), (0.8, 0.6, 0.4, 0.2), "A"),
        (50, 0.3, 0.1, (0.2, 0.5, 0.6, 0.8), (0.8, 0.3, 0.2, 0.1), "B"),
        (50, 0.3, 0.1, (0.2, 0.5, 0.6, 0.8), (0.8, 0.1, 0.05, 0.01), "C"),
        (50, 0.3, 0.1, (0.2, 0.3, 0.4, 0.59), (0.8, 0.6, 0.4, 0.2), "D"),
        (19, 0.3, 0.1, (0.2, 0.5, 0.6, 0.8), (0.8, 0.6, 0.4, 0.2), "D"),
        (50, 0.3, 0.4, (0.2, 0.5, 0.6, 0.8), (0.8, 0.6, 0.4, 0.2), "B"),
        (50, 0.3, np.nan, (0.2, 0.5, 0.6, 0.8), (0.8, 0.6, 0.4, 0.2), "A"),
    ],
)
def test_grades(peaks, ap, motif_ap, precision, recall, letter):
    assert grade(ladder(precision=precision, recall=recall), peaks, ap, motif_ap).grade == letter
