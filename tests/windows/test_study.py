"""A study: what it asks for, cells that cost nothing twice, the test part scored once, tables."""

import csv
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from support.study import STUDY_SIZES, TINY, planted_set, write_study

from tcnfast.base.errors import TcnfastError
from tcnfast.base.lock_file import LOCK
from tcnfast.base.options import Run
from tcnfast.base.run_folder import KEY, RECORD
from tcnfast.windows import cells, figures
from tcnfast.windows import study as run_study
from tcnfast.windows.cells import TEST
from tcnfast.windows.pair_tables import pair_tables
from tcnfast.windows.runner import LEDGER, StudyRun
from tcnfast.windows.study_config import read_study
from tcnfast.windows.study_folder import StudyFolder
from tcnfast.windows.study_results import (
    SECONDS,
    read_rows,
    write_results,
    write_rows,
    write_validation,
)
from tcnfast.windows.study_tables import Results


@pytest.fixture(scope="module")
def done(sets, tmp_path_factory):
    """A study that was trained and tested, by its own command."""
    folder = tmp_path_factory.mktemp("study")
    study = write_study(folder / "study.json")
    for test in (False, True):
        run_study(study, folder / "out", data=[sets], device="cpu", test=test)
    return folder


@pytest.fixture
def mine(done, sets, tmp_path):
    """A copy of it to change: its folder and how to open a study there."""
    shutil.copytree(done / "out", tmp_path / "out")

    def make(**change):
        study = read_study(write_study(tmp_path / "study.json", **change), [sets])
        return StudyRun(study, tmp_path / "out", Run(device="cpu"))

    return tmp_path / "out", make


def test_results_are_the_scores_of_the_cells(done, sets):
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    from tcnfast.windows.window_metrics import f1_cutoffs

    rows = read_rows(done / "out" / "results.csv").to_dict("records")
    found = {(r["set"], r["model"], r["seed"], r["label"], r["metric"]): r["value"] for r in rows}
    whole = planted_set(sizes=STUDY_SIZES)
    test, valid = whole.select("test"), whole.select("valid")
    for model in TINY:
        folder = done / "out" / "cells" / "many" / model / "seed1"
        logits, tuned = np.load(folder / TEST), np.load(folder / "valid.npy")
        cutoffs, aps = f1_cutoffs(tuned, valid.labels), []
        for i, label in enumerate(whole.names):
            known = test.labels[:, i] < 2
            truth, score = test.labels[known, i] == 1, logits[known, i]
            want = {
                "ap": average_precision_score(truth, score),
                "auroc": roc_auc_score(truth, score),
                "f1": f1_score(truth, score >= cutoffs[i]),
            }
            aps.append(want["ap"])
            for metric, value in want.items():
                assert abs(found["many", model, "1", label, metric] - value) < 1e-5
        assert abs(found["many", model, "1", "macro", "ap"] - np.mean(aps)) < 1e-5
        counts = found["many", "", "", "ONE@x", "test_bound"]
        assert counts == (test.labels[:, 0] == 1).sum()
        assert found["many", model, "1", "", "parameters"] > 100


def test_a_study_gives_tables(sets, done, tmp_path):
    study = run_study(done / "out", tables=True)  # the test parts were scored
    assert study.path == done / "out"
    assert {"ap", "parameters"} <= set(study.results()["metric"])
    assert {"tcn", "danq"} <= set(study.validation()["model"])
    assert study.statistics()["p"].between(0, 1).any()
    assert study.curves()["recall"].between(0, 1).all()
    assert len(study.tuning()) == 2 and (study.times()["value"] >= 0).all()
    with pytest.raises(TcnfastError, match="is no folder of tcnfast windows study"):
        StudyFolder(tmp_path)


def test_tuning_takes_the_best_on_validation(done):
    with open(done / "out" / "tuning.csv") as file:
        rows = list(csv.DictReader(file))
    tried = [(r["model"], float(r["learning_rate"])) for r in rows]
    assert tried == [("tcn", 0.001), ("tcn", 0.01)]
    best = max(rows, key=lambda r: float(r["valid_macro_ap"]))["learning_rate"]
    record = json.loads((done / "out" / "cells" / "one1" / "tcn" / "seed0" / RECORD).read_text())
    assert record["key"]["config"]["learning_rate"] == float(best)


def test_a_study_says_what_it_was(done):
    about = json.loads((done / "out" / "about.json").read_text())
    assert about["cells"][0] == "many/tcn/seed0" and len(about["cells"]) == 10
    assert about["models"]["tcn"]["learning_rate"] in (0.001, 0.01)
    assert {"python", "torch", "numpy"} <= set(about["versions"]) and about["threads"] >= 1
    tested = [row["set"] for row in about["tests"]]
    assert tested == sorted(["many", "one0", "one1", "one2"] * 2)


def test_a_finished_cell_costs_nothing_and_a_killed_one_begins_again(mine):
    out, make = mine
    folder = make().tuned()
    gone = out / "cells" / "many" / "tcn" / "seed0"
    before = np.load(gone / "valid.npy")
    shutil.rmtree(gone)
    half = gone.with_name("seed0.partial")
    half.mkdir()
    (half / "rubbish").write_text("of a run that was killed")
    (half / KEY).write_text("{}")

    def made():
        return {path.parent: path.stat().st_mtime_ns for path in out.rglob(RECORD)}

    others = made()
    folder.train()
    new = made()
    assert new.keys() - others.keys() == {gone} and others.items() <= new.items()
    assert not half.exists()
    np.testing.assert_allclose(np.load(gone / "valid.npy"), before, rtol=1e-4, atol=1e-4)
    folder.train()
    assert made() == new


def test_a_study_that_is_stopped_says_that_it_goes_on(mine, monkeypatch, caplog):
    """Its training once said that nothing was left of the study."""
    out, make = mine
    folder = make().tuned()
    shutil.rmtree(out / "cells" / "one2" / "danq" / "seed0")

    def stopped(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "fit_windows", stopped)
    with pytest.raises(KeyboardInterrupt):
        folder.train()
    said = [row.getMessage() for row in caplog.records if row.levelname == "WARNING"]
    assert said == [
        "windows study: stopped in one2/danq/seed0; what was finished before is kept; the same "
        "command goes on"
    ]
    assert not (out / "cells" / "one2" / "danq" / "seed0.partial").exists()


@pytest.mark.parametrize("test", [False, True])
def test_a_second_study_in_one_folder_is_refused(mine, sets, tmp_path, monkeypatch, test):
    """Before it does anything; and the lock of one that was killed holds nobody up."""
    out, _ = mine
    study = write_study(tmp_path / "study.json")
    (out / LOCK).write_text("1\n")
    told, train = [], StudyRun.train

    def and_another(self):
        with pytest.raises(TcnfastError) as caught:
            run_study(study, out, data=[sets], device="cpu", test=test)
        told.append(str(caught.value))
        train(self)

    monkeypatch.setattr(StudyRun, "train", and_another)
    run_study(study, out, data=[sets], device="cpu")
    words = f"{out}: another run is writing to it (process {os.getpid()}); wait for it, or choose"
    assert [text.startswith(words) for text in told] == [True]
    assert not (out / LOCK).exists()


def test_a_study_writes_through_no_link(mine, sets, tmp_path):
    out, _ = mine
    (out / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TcnfastError, match="out: cannot be written to"):
        run_study(write_study(tmp_path / "study.json"), out, data=[sets], device="cpu")
    assert not (tmp_path / "elsewhere").exists()


def test_time_is_told_in_a_file_of_its_own(mine):
    """All other files of a study are the same when a part of it was trained again."""
    out, make = mine
    folder = make().tuned()
    write_validation(folder)
    names = ("validation.csv", "tuning.csv", "results.csv")
    before = [(out / name).read_bytes() for name in names]
    for path in out.rglob(RECORD):
        record = json.loads(path.read_text())
        for name in SECONDS:
            record[name] = 12345.0
        path.write_text(json.dumps(record))
    folder = make().tuned()
    write_validation(folder)
    write_results(folder)
    assert [(out / name).read_bytes() for name in names] == before
    times = read_rows(out / "times.csv")
    assert set(times["metric"]) == set(SECONDS) and set(times["value"]) == {12345.0}
    cells = times.groupby(["set", "model", "seed"]).ngroups
    assert cells == len(folder.study.cells)
    assert Results(out).mean("many", "tcn", "", "cpu_seconds") == 12345.0


def test_a_cell_of_other_settings_is_not_taken_for_this_one(mine):
    _, make = mine
    with pytest.raises(TcnfastError, match="0.001: was trained with another config; delete it"):
        make(training={"epochs": 3, "batch_size": 32}).tuned()


def test_the_test_part_is_scored_once(mine):
    out, make = mine
    ledger = (out / LEDGER).read_text()
    assert ledger.count("\n") == 1 + 8
    logits = {path: path.stat().st_mtime_ns for path in out.rglob(TEST)}
    assert len(logits) == 10
    make().tuned().test()
    assert {path: path.stat().st_mtime_ns for path in out.rglob(TEST)} == logits
    assert (out / LEDGER).read_text() == ledger
    # trained again with other settings, it is not tested again
    for cell in (out / "cells").rglob("danq"):
        shutil.rmtree(cell)
    models = {**TINY, "danq": {**TINY["danq"], "learning_rate": 0.02}}
    again = make(models=models).tuned()
    again.train()
    with pytest.raises(TcnfastError, match="scored for danq with other settings already"):
        again.test()
    assert len(list(out.rglob(TEST))) == 5


def test_nothing_is_tested_before_all_is_trained(mine):
    out, make = mine
    shutil.rmtree(out / "cells" / "one2" / "danq")
    (out / LEDGER).unlink()
    with pytest.raises(TcnfastError, match="one2/danq/seed0 is not trained yet"):
        make().tuned().test()
    assert not (out / LEDGER).exists()


def test_what_is_finished_can_be_tested_before_the_rest(mine):
    out, make = mine
    for name in ("one2/danq", "many/danq/seed1"):
        shutil.rmtree(out / "cells" / name)
    for path in (out / LEDGER, *out.rglob(TEST)):
        path.unlink()
    folder = make(pairs=[["danq", "tcn"]]).tuned().finished()
    folder.test()
    write_results(folder)
    assert len(list(out.rglob(TEST))) == len(folder.study.cells) == 8
    found = Results(out)
    assert found.models_on("one2") == ["tcn"] and len(found.seeds("many", "danq")) == 1
    # both of a pair on the seeds that both have
    ours, theirs = (found.spread(*x, "ONE@x", "ap") for x in (("one0", "danq"), ("one0", "tcn")))
    pair = found.spread("one0", "danq", "ONE@x", "ap", "tcn")
    assert pair["value"] == pytest.approx(ours["value"] - theirs["value"], abs=1e-6)
    whole = found.spread("one0", "tcn", "ONE@x", "ap", "danq")
    assert (pair["value"], pair["low"]) == (-whole["value"], -whole["high"])
    many = found.spread("many", "danq", "macro", "ap", "tcn")["value"]
    one, other = (found.seeds("many", name)[0] for name in ("danq", "tcn"))
    assert many == pytest.approx(one - other, abs=1e-5)
    text = "".join(pair_tables(found))
    auroc = found.spread("one0", "danq", "ONE@x", "auroc", "tcn")["value"]
    assert f"| one0 | danq | tcn | {auroc:+.3f} |" in text
    auroc = found.mean("one0", "danq", "ONE@x", "auroc")
    assert f"| one0 | danq | 1 | {auroc:.3f} (" in text
    write_results(make().tuned().finished())
    assert not pair_tables(Results(out))


def test_what_is_not_random_is_held_against_all_seeds(mine):
    _, make = mine
    grids = [
        {"sets": ["many"], "models": ["tcn"], "seeds": [0, 1]},
        {"sets": ["many"], "models": ["danq"], "seeds": [1]},
    ]
    for random in (True, False):
        models = {**TINY, "danq": {**TINY["danq"], "random": random}}
        folder = make(grids=grids, models=models, pairs=[["danq", "tcn"]]).tuned()
        write_results(folder)
        found = Results(folder.folder)
        ours, theirs = found.seeds("many", "danq"), found.seeds("many", "tcn")
        other = theirs[1] if random else np.mean(theirs)
        for first, second, sign in (("danq", "tcn", 1), ("tcn", "danq", -1)):
            got = found.spread("many", first, "macro", "ap", second)["value"]
            assert got == pytest.approx(sign * (ours[0] - other), abs=1e-5)
        assert theirs[0] != theirs[1]


def test_many_models_have_figures_in_which_each_looks_its_own_way(done, tmp_path):
    """More models than colours once ended the figures of multi-label sets with an error."""
    for name in ("results.csv", "statistics.csv", "curves.csv", "times.csv"):
        rows = read_rows(done / "out" / name)
        more = [rows]
        for copy in range(5):
            again = rows[rows["model"] == "danq"]
            more.append(again.assign(model=f"danq{copy}"))
            again = rows[rows["model"] == "tcn"]
            more.append(again.assign(model=f"tcn{copy}"))
        write_rows(tmp_path / name, tuple(rows), pd.concat(more).to_dict("records"))
    assert len(Results(tmp_path).models) == 12
    figures.write_figures(tmp_path)
    assert "danq4" in (tmp_path / "precision_recall.svg").read_text()
    assert len({figures.look(i) for i in range(40)}) == 40


def test_tables_and_figures_come_from_the_files_alone(done, tmp_path, run):
    names = ("results.csv", "statistics.csv", "curves.csv", "times.csv")
    for name in names:
        shutil.copy(done / "out" / name, tmp_path / name)
    code, out, err = run("windows", "study", "--tables", tmp_path)
    assert code == 0 and out == "", err
    figures = ("labels.svg", "frequency.svg", "precision_recall.svg", "size.svg")
    for name in ("tables.md", *figures):
        assert (tmp_path / name).read_bytes() == (done / "out" / name).read_bytes()
    text, results = (tmp_path / "tables.md").read_text(), Results(tmp_path)
    assert results.multi == ["many"] and results.reference == "tcn"
    mean = np.mean(results.seeds("many", "tcn"))
    assert f"| tcn | 2 | {mean:.3f} (" in text
    assert "| many | danq | AP | " in text and "**Means over the binary sets**" in text
    aps = [results.mean(f"one{i}", "tcn", "ONE@x", "ap") for i in range(3)]
    words = f"tcn: r {np.corrcoef([128, 192, 256], aps)[0, 1]:.2f}, with log size "
    assert words in (tmp_path / "size.svg").read_text()


DAMAGE = {
    "record": (RECORD, b"[]", "must hold an object"),
    "record without a key": (RECORD, b"{}", "damaged .'key' is missing"),
    "weights": ("model.safetensors", b"x" * 100, "no safetensors file"),
    "validation": ("valid.npy", b"x", "valid.npy: no array"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_cell_that_a_stranger_wrote(mine, what):
    folder, make = mine
    name, data, words = DAMAGE[what]
    cell = folder / "cells/many/danq/seed0"
    (cell / TEST).unlink()
    (cell / name).write_bytes(data)
    with pytest.raises(TcnfastError, match=words):
        study = make().tuned()
        study.test()
        write_results(study)


@pytest.mark.parametrize("name", ["valid.npy", TEST])
def test_logits_of_another_shape_or_of_no_numbers(mine, name):
    folder, make = mine
    path = folder / "cells/many/danq/seed0" / name
    right = np.load(path)
    for wrong in (right[1:], right.astype(int), np.where(right == right[0, 0], np.nan, right)):
        np.save(path, wrong)
        with pytest.raises(TcnfastError, match=f"{name}: must hold .* finite numbers"):
            write_results(make().tuned())


def test_a_record_whose_best_epoch_is_none(mine):
    folder, make = mine
    path = folder / "cells/many/danq/seed0" / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), "best_epoch": 99}))
    with pytest.raises(TcnfastError, match="run.json: damaged; delete the folder"):
        make().tuned().train()
