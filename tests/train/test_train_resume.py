"""A training that was killed and goes on ends as one that was not: the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.cli import QUICK, data_words, fails, refused
from support.scan import files_in
from support.train import SHORT, TRAIN, VALID, before_each_step, new_model

from tcnfast.base.errors import TcnfastError
from tcnfast.train import checkpoint
from tcnfast.train import training as train
from tcnfast.train.fit import fit
from tcnfast.train.train_config import TrainConfig
from tcnfast.train.training import Training

ALL = dict(
    steps=10,
    epoch_steps=3,
    ema=0.9,
    hard=0.3,
    enriched=0.5,
    edge="soft",
    strands="both",
    strand_loss=0.1,
    accumulate=2,
    learning_rate=0.02,
)


KILLED_TRAINING = Path(__file__).parents[1].joinpath("killed_training.py")


class Killed(BaseException):
    pass


def trained(dataset, saved, config, stop_after=None, **shape):
    """State and epochs of a training; one that is killed after so many optimiser steps is None."""
    model = new_model(2, dropout=0.2, **shape)
    taken = []

    def killed(_):
        if len(taken) == stop_after:
            raise Killed
        taken.append(1)

    with before_each_step(killed):
        try:
            epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", None, False, saved)
        except Killed:
            return None
    return model.state_dict(), epochs


def same(one, other):
    (state, epochs), (again, epochs_again) = one, other
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    assert [e.step for e in epochs] == [e.step for e in epochs_again]
    assert [e.loss for e in epochs] == [e.loss for e in epochs_again]
    for a, b in zip(epochs, epochs_again, strict=True):
        assert a.scores.labels == b.scores.labels
        for name in ("ap", "auroc", "positives", "windows"):
            np.testing.assert_array_equal(getattr(a.scores, name), getattr(b.scores, name))


@pytest.mark.parametrize("options", [{}, ALL], ids=["plain", "every-option"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_training_goes_on_to_the_same_weights(dataset, tmp_path, precision, options):
    config = TrainConfig(**SHORT | dict(steps=10) | options | dict(precision=precision))
    whole = trained(dataset, None, config)
    saved = tmp_path / "state.safetensors"
    for stop in (2, 4, 1, 3):  # in the first epoch, in the second, at once, in a later one
        assert trained(dataset, saved, config, stop) is None
    same(whole, trained(dataset, saved, config))
    # and one that had ended
    same(whole, trained(dataset, saved, config, 0))


@pytest.mark.parametrize(
    "shape",
    [dict(norm="weight"), dict(symmetric=True), dict(symmetric=True, norm="weight")],
    ids=["weight-norm", "symmetric", "symmetric-weight-norm"],
)
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_other_networks_resume_too(dataset, tmp_path, shape, optimiser):
    config = TrainConfig(**SHORT | dict(ema=0.9, optimiser=optimiser))
    whole = trained(dataset, None, config, **shape)
    assert trained(dataset, tmp_path / "s", config, 4, **shape) is None
    assert (tmp_path / "s").exists()
    same(whole, trained(dataset, tmp_path / "s", config, **shape))


def test_a_checkpoint_holds_everything(dataset, tmp_path):
    """What a load does not bring back, a training that starts otherwise would show."""
    config = TrainConfig(**SHORT | ALL)
    one = Training(new_model(2, dropout=0.2), dataset, TRAIN, VALID, config, "cpu")

    class Bar:
        def update(self, *_):
            pass

    one.run_epoch(Bar())
    checkpoint.save(tmp_path / "s", one)
    other = Training(new_model(7, dropout=0.2), dataset, TRAIN, VALID, config, "cpu")
    checkpoint.load(tmp_path / "s", other)
    checkpoint.save(tmp_path / "t", other)
    for path in "st":
        assert not (tmp_path / f"{path}.tmp").exists()
    one_bytes, other_bytes = ((tmp_path / path).read_bytes() for path in "st")
    header = 8 + int.from_bytes(one_bytes[:8], "little")  # which has the seconds
    assert one_bytes[header:] == other_bytes[-len(one_bytes[header:]) :]
    assert len(one_bytes[header:]) > 3 * sum(p.nbytes for p in one.model.parameters())


def test_patience(dataset, monkeypatch, caplog):
    aps = iter([0.1, 0.3, 0.2, 0.3, 0.25, 0.9])
    evaluate = train.evaluate

    def made_up(*args):
        scores = evaluate(*args)
        return type(scores)(scores.labels, np.full(2, next(aps)), *list(vars(scores).values())[2:])

    monkeypatch.setattr(train, "evaluate", made_up)
    config = TrainConfig(**SHORT | dict(steps=30, epoch_steps=1, patience=3))
    with caplog.at_level("INFO", logger="tcnfast.train.training"):
        epochs = fit(new_model(), dataset, TRAIN, VALID, config, "cpu", progress=False)
    assert [epoch.step for epoch in epochs] == [1, 2, 3, 4, 5]
    assert "no better epoch in 3: training stops early" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "text", "other shape", "empty"])
def test_a_broken_checkpoint_raises(dataset, tmp_path, damage):
    config, saved = TrainConfig(**SHORT), tmp_path / "state.safetensors"
    assert trained(dataset, saved, config, 4) is None
    if damage == "cut":
        saved.write_bytes(saved.read_bytes()[:-100])
    elif damage == "text":
        saved.write_text("nothing of the kind")
    elif damage == "empty":
        saved.write_bytes(b"")
    shape = dict(channels=16) if damage == "other shape" else {}
    with pytest.raises(TcnfastError, match="no checkpoint of this training .*--force") as info:
        trained(dataset, saved, config, **shape)
    assert str(saved) in str(info.value) and "\n" not in str(info.value)


def test_another_backend_is_said(dataset, tmp_path, monkeypatch, caplog):
    config, saved = TrainConfig(**SHORT), tmp_path / "state.safetensors"
    assert trained(dataset, saved, config, 4) is None
    monkeypatch.setattr(Training, "runs_on", lambda self: ("cuda", "reference", "bf16"))
    with caplog.at_level("WARNING"):
        trained(dataset, saved, config)
    assert "goes on on cuda reference bf16: the weights will differ" in caplog.text


def test_a_full_disk_leaves_the_checkpoint_before(dataset, tmp_path, monkeypatch):
    training = Training(new_model(), dataset, TRAIN, VALID, TrainConfig(**SHORT), "cpu")
    training.best_state = new_model().state_dict()
    path = tmp_path / "s"
    path.write_bytes(b"before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TcnfastError, match=r"s: cannot be written \(No space left on device"):
        checkpoint.save(path, training)
    assert files_in(tmp_path) == {"s": b"before"}


# the command

WORDS = [*QUICK, "--steps", 40, "--epoch-steps", 4, "--ema", 0.9, "--hard", 0.2, "--dropout", 0.2]


def rows_of(folder):
    """train.tsv without the seconds."""
    return [line.rsplit("\t", 1)[0] for line in (folder / "train.tsv").read_text().splitlines()]


@pytest.mark.slow
def test_kill_9_at_any_moment(run, lesson, tmp_path):
    """Killed again and again, the model comes out the same."""
    words = ["train", *data_words(lesson), *WORDS, "--threads", 1, "-q", "-o"]
    partial = tmp_path / "again.partial"
    script = [KILLED_TRAINING, 3, partial / "checkpoint.safetensors", *words, "again"]
    environment = os.environ | {"PYTHONPATH": str(KILLED_TRAINING.parents[1])}
    command, told = [sys.executable, *map(str, script)], dict(text=True, capture_output=True)
    done = subprocess.run(command, cwd=tmp_path, env=environment, timeout=300, **told)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert int(done.stdout) == 3, "it was killed at the same checkpoint twice"
    assert run(*words, "whole") == (0, "", "")
    made, again = (files_in(tmp_path / name) for name in ("whole", "again"))
    assert made.keys() == again.keys() and not partial.exists()
    for name in made.keys() - {"train.tsv", "run.json", "README.md"}:
        assert made[name] == again[name], name
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "again")
    assert made["README.md"].split(b"\n", 1)[1] == again["README.md"].split(b"\n", 1)[1]


def test_resume_needs_the_same_run(run, lesson, tmp_path, monkeypatch):
    words = ("train", *data_words(lesson), *QUICK, "-q", "-o", "made")
    stop_at_epoch(monkeypatch, 2)
    code, out, err = run(*words)
    assert code == 130 and "go on with --resume" in err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    fails(run(*words), "made.partial: was left by an unfinished run; give --resume")
    fails(run(*words, "--resume", "--seed", 3), "left by a run with other inputs or settings")
    fails(run(*words, "--resume", "--channels", 5), "left by a run with other inputs or settings")
    assert run(*words, "--resume") == (0, "", "")
    before = files_in(tmp_path / "made")
    assert run(*words, "--resume") == (0, "", "") and files_in(tmp_path / "made") == before
    refused(run(*words, "--resume", "--force"), "--force and --resume: give one of the two")


def stop_at_epoch(monkeypatch, number):
    run_epoch, seen = Training.run_epoch, []

    def stopping(self, bar):
        seen.append(1)
        if len(seen) == number:
            raise KeyboardInterrupt
        return run_epoch(self, bar)

    monkeypatch.setattr(Training, "run_epoch", stopping)


def test_epochs_that_were_logged_but_not_saved_are_logged_once(run, lesson, tmp_path, monkeypatch):
    words = ("train", *data_words(lesson), *QUICK, "-q", "-o")
    assert run(*words, "whole") == (0, "", "")
    save, calls = checkpoint.save, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(checkpoint, "save", killed)
    assert run(*words, "made")[0] == 130
    assert len(rows_of(tmp_path / "made.partial" / "result")) == 3
    monkeypatch.setattr(checkpoint, "save", save)
    assert run(*words, "made", "--resume") == (0, "", "")
    assert rows_of(tmp_path / "made") == rows_of(tmp_path / "whole")


def test_tensorboard_that_is_not_there_is_said_before_training(run, lesson, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    words = ("train", *data_words(lesson), *QUICK, "-q", "-o", "made", "--tensorboard", "tb")
    fails(run(*words), "--tensorboard needs the tensorboard package: pip install tensorboard")
    assert not (tmp_path / "made.partial").exists()
