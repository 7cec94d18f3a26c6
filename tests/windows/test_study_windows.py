"""Training on windows: batches, the loop, the command."""

import json

import numpy as np
import pytest
import torch
from support.cli import fails
from support.study import planted_set

from tcnfast import windows
from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import reverse_complement
from tcnfast.windows.architectures import build, window_scorer
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_fit import WindowBatches, fit_windows, window_rates
from tcnfast.windows.window_run import open_window_model

FAST = dict(batch_size=32, precision="fp32", learning_rate=0.01)


def shifted(window, move):
    """A window moved by ``move`` bases, N coming in."""
    padded = np.concatenate([np.full(20, 4, np.uint8), window, np.full(20, 4, np.uint8)])
    return padded[20 + move : 20 + move + len(window)]


def test_batches_hold_every_window_once_an_epoch_moved_and_on_either_strand():
    windows = planted_set().select("train")
    batches = WindowBatches(windows.codes, windows.labels, 64, 2, seed=1, shift=3)
    known = {}
    for row, window in enumerate(windows.codes):
        for move in range(-3, 4):
            moved = shifted(window, move)
            known[moved.tobytes()] = row, move, False
            known[reverse_complement(moved).tobytes()] = row, move, True
    seen = []
    for index in range(batches.per_epoch):
        codes, labels = batches.batch(index)
        found = [known[window.tobytes()] for window in codes]
        rows = [row for row, _, _ in found]
        np.testing.assert_array_equal(labels, windows.labels[rows])
        seen += found
    assert batches.per_epoch == 900 // 64 and len({row for row, _, _ in seen}) == len(seen) == 896
    assert {move for _, move, _ in seen} == set(range(-3, 4))
    assert 0.4 < np.mean([flip for _, _, flip in seen]) < 0.6
    second = [batches.batch(batches.per_epoch + i)[0] for i in range(batches.per_epoch)]
    assert not np.array_equal(second[0], batches.batch(0)[0])
    np.testing.assert_array_equal(batches.batch(5)[0], batches.batch(5)[0])


def test_mutation_falls_to_none():
    windows = planted_set().select("train")
    plain = WindowBatches(windows.codes, windows.labels, 100, 4, seed=1)
    mutated = WindowBatches(windows.codes, windows.labels, 100, 4, seed=1, mutate=0.2)
    known = {
        window.tobytes() for x in (windows.codes, reverse_complement(windows.codes)) for window in x
    }
    changed = [sum(w.tobytes() not in known for w in mutated.batch(i)[0]) for i in range(36)]
    assert changed[0] > 90 and changed[-3:] == [0, 0, 0]
    assert all(w.tobytes() in known for w in plain.batch(0)[0])


def test_rates_leave_masked_windows_out():
    labels = np.array([[1, 2], [0, 2], [0, 1], [0, 0]], np.uint8)
    torch.testing.assert_close(window_rates(labels), torch.tensor([1.5 / 5, 1.5 / 3]))


@pytest.mark.parametrize(
    "arch, shape",
    [
        ("tcn", {"channels": 64}),
        ("conv-bilstm", {"filters": 24, "hidden": 12, "dropout": 0.0}),
    ],
)
def test_the_loop_teaches_every_kind_of_network(arch, shape):
    windows = planted_set(("TWO@x",), seed=4, masked=0.0)
    model = build(arch, windows.names, windows.length, shape=shape)
    config = WindowConfig(epochs=5, shift=2, mutate=0.0, **FAST)
    found = fit_windows(model, windows.select("train"), windows.select("valid"), config, "cpu")
    aps = [epoch.scores.macro("ap") for epoch in found.epochs]
    assert max(aps) > 0.7 > 0.45 > windows.labels.mean(), aps
    assert found.best == int(np.argmax(aps))
    valid = windows.select("valid")
    from sklearn.metrics import average_precision_score

    logits = window_scorer(model, "cpu", "fp32")(valid.codes)
    kept = average_precision_score(valid.labels[:, 0], logits[:, 0])
    assert kept == pytest.approx(max(aps), abs=1e-3)  # the weights of the best epoch


def test_a_training_is_its_seed():
    windows = planted_set()
    parts = windows.select("train"), windows.select("valid")
    logits = []
    for seed in (0, 0, 1):
        torch.manual_seed(7)
        model = build("danq", windows.names, 100, shape={"filters": 8, "hidden": 4})
        fit_windows(model, *parts, WindowConfig(epochs=1, seed=seed, **FAST), "cpu")
        logits.append(window_scorer(model, "cpu", "fp32")(parts[1].codes))
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5, atol=1e-6)
    assert np.abs(logits[0] - logits[2]).max() > 1e-3


def test_patience_and_averaged_weights():
    windows = planted_set()
    parts = windows.select("train"), windows.select("valid")
    model = build("deepbind", windows.names, 100, shape={"filters": 8})
    config = WindowConfig(epochs=9, patience=1, ema=0.99, **{**FAST, "learning_rate": 1e-9})
    found = fit_windows(model, *parts, config, "cpu")
    assert len(found.epochs) < 9 and found.best == len(found.epochs) - 2


@pytest.mark.parametrize(
    "change, words",
    [
        ({}, None),
        ({"part": 1, "label": 0}, "part valid holds 19 bound windows of a label at most"),
        ({"part": 0, "label": 1}, "label TWO@x has no bound window in part train"),
    ],
)
def test_what_cannot_be_trained_on(change, words):
    windows = planted_set(masked=0.0)
    if words is None:
        empty = windows.take(windows.part != 0)
        parts, words = (empty.select("train"), empty.select("valid")), "part train holds no window"
    else:
        rows = np.flatnonzero(windows.part == change["part"])
        if change["part"]:
            for i in range(3):
                bound = rows[windows.labels[rows, i] == 1]
                windows.labels[bound[19:], i] = 0
        else:
            windows.labels[rows, change["label"]] = 0
        parts = windows.select("train"), windows.select("valid")
    with pytest.raises(TcnfastError, match=words):
        fit_windows(build("tcn", windows.names, 100), *parts, WindowConfig(), "cpu")


@pytest.mark.parametrize("arch, mapping", [("tcn", "eiip"), ("danq", "one-hot")])
def test_the_command(tmp_path, run, arch, mapping):
    windows = planted_set()
    windows.save(tmp_path / "set")
    words = ["windows", "train", "set", "--arch", arch, "--mapping", mapping, "-o", "model"]
    shape = {"tcn": {"channels": 8}, "danq": {"filters": 8, "hidden": 4, "hidden_layer": 8}}[arch]
    words += ["--shape", json.dumps(shape), "--epochs", 2, "--batch-size", 32, "--seed", 3]
    code, out, err = run(*words, "--device", "cpu", "--precision", "fp32", "--shift", 0)
    assert code == 0 and out == "", err
    folder = tmp_path / "model"
    model = open_window_model(folder)
    valid = windows.select("valid")
    from tcnfast.model.metrics import score_labels

    scores = score_labels(
        windows.names, window_scorer(model, "cpu", "fp32")(valid.codes), valid.labels
    )
    rows = [line.split("\t") for line in (folder / "scores.valid.tsv").read_text().splitlines()]
    assert [row[0] for row in rows[1:]] == windows.names
    np.testing.assert_allclose([float(row[1]) for row in rows[1:]], scores.ap, atol=1e-3)
    assert len((folder / "train.tsv").read_text().splitlines()) == 3
    fails(run(*words), "model: exists", "--force")


def test_bad_words_of_the_command(tmp_path, run):
    planted_set().save(tmp_path / "set")
    words = ["windows", "train", "set", "-o", "model"]
    fails(run(*words, "--arch", "tcm"), "arch 'tcm': must be one of tcn, ")
    fails(run(*words, "--shape", '{"depth": 3}'), "depth")
    for more, complaint in (
        (("--shape", "{"), "--shape '{': not JSON"),
        (("--shape", "[1]"), "--shape '[1]': must be as"),
        (("--mapping", "hot"), "--mapping 'hot': must be one of one-hot, integer, eiip"),
        (("--epochs", 0), "--epochs 0: must be at least 1"),
        (("--steps", 5), "unrecognized arguments: --steps"),
    ):
        code, _, err = run(*words, *more)
        assert code == 2 and complaint in err
    fails(
        run("windows", "train", "no", "-o", "model"), "no: is no folder of tcnfast windows prepare"
    )
    assert not (tmp_path / "model").exists() and not (tmp_path / "model.partial").exists()


def test_the_python_form_and_its_words(tmp_path):
    planted_set().save(tmp_path / "set")
    how = dict(arch="deepbind", shape={"filters": 8}, epochs=1, device="cpu")
    trained = windows.train(tmp_path / "set", tmp_path / "model", **how)
    assert trained.path == tmp_path / "model" and len(trained.epochs()) == 1
    chosen = trained.scores("valid")
    found = windows.evaluate(tmp_path / "set", trained.path, device="cpu")
    assert found.folder is None and found.table.startswith("label\twindows\tbound\tap")
    rows = found.frame()
    assert [*trained.labels, "macro"] == rows["label"].tolist()
    assert chosen["label"].tolist() == trained.labels
    assert chosen["ap"].to_numpy() == pytest.approx(rows["ap"].to_numpy()[:-1], abs=1e-3)
    with pytest.raises(TcnfastError, match="model: exists; .* or force=True to replace it"):
        windows.train(tmp_path / "set", tmp_path / "model", **how)
    with pytest.raises(TcnfastError, match="learning_rate does not go with faithful=True"):
        windows.train("set", "out", arch="wavelet", faithful=True, learning_rate=0.1)
