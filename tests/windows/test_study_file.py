"""What a study file may say, and what the command says of it."""

import pytest
from support.cli import fails
from support.study import TINY, write_study

from tcnfast.base.errors import TcnfastError
from tcnfast.windows import study as run_study
from tcnfast.windows.cells import TEST
from tcnfast.windows.study_config import Cell, read_study


def test_finished_goes_with_test(sets, tmp_path):
    grids = [{"sets": ["one0"], "models": ["danq"], "seeds": [0]}]
    only = dict(models={"danq": TINY["danq"]}, reference="danq")
    study = write_study(tmp_path / "study.json", grids=grids, **only)
    with pytest.raises(TcnfastError, match="finished=True goes with test=True"):
        run_study(study, tmp_path / "out", data=[sets], finished=True)
    with pytest.raises(TcnfastError, match="nothing of the study is trained yet"):
        run_study(study, tmp_path / "out", data=[sets], finished=True, test=True)


def test_the_command_trains_and_says_what_is_next(sets, tmp_path, run):
    grids = [{"sets": ["one0"], "models": ["danq"], "seeds": [0]}]
    write_study(tmp_path / "s.json", grids=grids, reference="danq")
    words = ["windows", "study", tmp_path / "s.json", "-o", "o", "--data", sets]
    code, out, err = run(*words, "--device", "cpu")
    assert code == 0 and out == "" and "--test scores the test parts" in err
    assert not list((tmp_path / "o").rglob(TEST)) and not (tmp_path / "o" / "results.csv").exists()
    assert (tmp_path / "o" / "validation.csv").read_text().count("danq") > 5
    fails(run("windows", "study", tmp_path / "none.json", "-o", "o"), "none.json", "cannot be read")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"colour": 1}, "'colour' is unknown; a study has sets, "),
        ({"reference": "rnn"}, "reference 'rnn' is none of tcn, danq"),
        ({"grids": [{"sets": ["few"], "models": ["tcn"], "seeds": [0]}]}, "set 'few' is none of"),
        ({"grids": [{"sets": ["many"], "models": ["tcn"]}]}, "'seeds' is missing"),
        ({"models": {"tcn": {"arch": "tcm"}}, "grids": []}, "arch 'tcm' must be one of tcn"),
        ({"models": {"tcn": {"arch": "tcn", "mapping": "x"}}, "grids": []}, "mapping 'x' must be"),
        ({"training": {"epoch": 3}}, "training 'epoch': must be one of batch_size, "),
        ({"training": {"epochs": 0}}, "epochs 0: must be at least 1"),
        ({"pairs": [["tcn", "rnn"]]}, "model of pairs 'rnn' is none of tcn, danq"),
        ({"tuning": None}, "model tcn: has no learning_rate, and there is no tuning"),
        ({"sets": {"many": {"windows": "nowhere"}}, "grids": []}, "nowhere is in none of"),
        ({"sets": {"many": {"windows": "n" * 400}}, "grids": []}, "nn is in none of"),
        ({"sets": {"many": {"gue": ["a", "b"]}}, "grids": []}, "set many: gue takes 3 paths"),
        ({"sets": {"many": {"fasta": "a"}}, "grids": []}, "set many: needs one of windows, "),
        ({"models": {**TINY, "tcn": {"arch": "tcn", "learning_rate": "x"}}}, "'x': must be a numb"),
        ({"models": {**TINY, "tcn": {"arch": "tcn", "learning_rate": -1}}}, "must be above 0"),
        ({"tuning": {"set": "many", "learning_rates": []}}, "learning_rates names none"),
        ({"tuning": {"set": "many", "learning_rates": [0]}}, "learning_rate 0.0: must be above 0"),
        ({"grids": [{"sets": ["many"], "models": ["tcn"], "seeds": [1e999]}]}, "infinity"),
        ({"grids": [{"sets": ["many"], "models": ["tcn"], "seeds": [-1]}]}, "seed -1: must be at"),
        ({"models": {**TINY, "danq": {**TINY["danq"], "random": False}}}, "one seed on many is en"),
        ({"models": {**TINY, "danq": {**TINY["danq"], "random": 0}}}, "random 0 must be true or"),
        ({"models": {"a\nb": TINY["danq"]}, "reference": "a\nb", "grids": []}, "a plain name"),
    ],
)
def test_a_study_that_cannot_be_read(sets, tmp_path, change, words):
    path = write_study(tmp_path / "study.json", **change)
    with pytest.raises(TcnfastError, match=words) as caught:
        read_study(path, [sets])
    assert str(caught.value).startswith(str(path))


def test_seeds_come_first_so_that_a_study_that_stops_early_is_whole(sets, tmp_path):
    study = read_study(write_study(tmp_path / "study.json"), [sets])
    first = ("tcn", 0), ("danq", 0), ("tcn", 1)
    assert study.cells[:3] == tuple(Cell("many", *x) for x in first)
