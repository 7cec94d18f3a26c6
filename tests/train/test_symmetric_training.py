"""``tcnfast train --symmetric``, and what follows from the model: the strands are one."""

import json
import logging

import numpy as np
import pytest
import torch
from support.cli import QUICK, data_words, refused
from support.train import MOTIFS, SHORT, TRAIN, VALID, new_model, score
from truth import reverse_complement

from tcnfast.engines.plan import Plan
from tcnfast.model.load_model import load_model
from tcnfast.train.fit import fit
from tcnfast.train.optimisers import decay_groups
from tcnfast.train.train_config import TrainConfig
from tcnfast.train.training import Training


def alike(model, n=20):
    codes = torch.randint(0, 4, (n, model.receptive_field), dtype=torch.uint8)
    model = model.eval().double()
    with torch.no_grad():
        plus, minus = model(codes), model(reverse_complement(codes))
    return float((plus - minus).abs().max() / plus.abs().max()) < 1e-12


def test_a_planted_motif_is_learned_on_both_strands_at_once(dataset):
    model = new_model(symmetric=True)
    config = TrainConfig(**SHORT | dict(steps=250, epoch_steps=125, tile_steps=16, ema=0.9))
    fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    scores = score(model, dataset)
    assert (scores.ap > 5 * scores.chance).all() and list(scores.labels) == list(MOTIFS)
    assert alike(model)


def test_the_average_of_weights_is_symmetric_and_what_decays_are_kernels(dataset):
    model = new_model(symmetric=True)
    config = TrainConfig(**SHORT | dict(ema=0.8))
    training = Training(model, dataset, TRAIN, VALID, config, "cpu")

    class Bar:
        def update(self, *_):
            pass

    training.run_epoch(Bar())
    moved = [
        not torch.equal(a, b)
        for a, b in zip(model.parameters(), training.judged.parameters(), strict=True)
    ]
    assert training.judged is not model and all(moved)
    assert alike(training.judged)
    decayed, free = (group["params"] for group in decay_groups(model, 0.1))
    assert {p.ndim for p in decayed} == {2, 3} and {p.ndim for p in free} == {1}


def test_the_command_trains_one_and_says_so(run, lesson, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    words = ["train", *data_words(lesson), *QUICK, "--symmetric", "-o", "m"]
    code, _, err = run(*words)
    assert code == 0, err
    assert "symmetric network: both strands score the same" in err + caplog.text
    card = (tmp_path / "m" / "README.md").read_text()
    assert "both strands of a sequence score the same, in one pass" in card
    assert "whose strands score the same" in card and '"symmetric": true' in card
    record = json.loads((tmp_path / "m" / "run.json").read_text())
    assert record["key"]["shape"]["symmetric"] is True
    model = load_model("m")
    assert model.config.symmetric and alike(model)
    assert "symmetric: both strands in one pass" in run("info", "-m", "m")[1]

    code, _, err = run("average", "m", "m2", "-o", "mean")
    assert code == 1 and "m2" in err
    assert run(*words[:-1], "m2", "--seed", 1)[0] == 0
    code, _, err = run("average", "m", "m2", *data_words(lesson), "--how", "weights", "-o", "mean")
    assert code == 0, err
    assert alike(load_model("mean"))
    code, _, err = run("evaluate", "-m", "m", *data_words(lesson), "-o", "scores")
    assert code == 0, err
    assert json.loads((tmp_path / "scores" / "run.json").read_text())["one_pass"] is True


@pytest.mark.parametrize(
    "more, words",
    [
        (["--alignment", "causal"], ["causal", "symmetric network must be centred"]),
        (["--channels", 5], ["channels 5 must be even"]),
        (["--strands", "both"], ["--strands both", "score the same", "--symmetric"]),
    ],
)
def test_what_does_not_go_with_it_is_refused(run, lesson, tmp_path, more, words):
    refused(run("train", *data_words(lesson), *QUICK, "--symmetric", *more, "-o", "m"), *words)
    assert not (tmp_path / "m").exists()


def test_validation_runs_once_whatever_the_strand(dataset, monkeypatch):
    model = new_model(symmetric=True).eval()
    codes = torch.randint(0, 4, (1, 5000), dtype=torch.uint8)
    options = dict(device="cpu", precision="fp32", stride=32)
    scores = [Plan(model, strand=strand, **options)(codes).numpy() for strand in ("+", "both")]
    np.testing.assert_array_equal(*scores)
