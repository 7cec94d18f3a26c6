"""Attribution of symmetric networks: one pass, and what both strands of the plain network give."""

import json
import logging

import numpy as np
import pytest
import torch
from support.models import random_model, untied
from support.scan import calling_model, small_genome, write_fasta

from tcnfast.attribute import mutagenesis
from tcnfast.attribute.integrated_gradients import corrected_gradient, integrated_gradients
from tcnfast.attribute.mutagenesis import Mutagenesis
from tcnfast.attribute.networks import Networks
from tcnfast.engines.backend import VARIABLE
from tcnfast.model.ensemble import Ensemble

SHAPE = dict(symmetric=True, channels=6, first_kernel=7)
METHODS = {
    "ig": lambda networks, codes: integrated_gradients(networks, codes, [1], steps=7)[0],
    "gradient": lambda networks, codes: corrected_gradient(networks, codes, 1),
    "ism": lambda networks, codes: Mutagenesis(networks).explain(codes, [1])[0],
}


def windows(model, n=4):
    return np.random.default_rng(2).integers(0, 5, (n, model.receptive_field), np.uint8)


def assert_same(got, want):
    scale = np.abs(want.hypothetical).max()
    np.testing.assert_allclose(got.hypothetical, want.hypothetical, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(got.logit, want.logit, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("method", METHODS)
def test_one_pass_gives_what_both_strands_give(method, backend, monkeypatch):
    monkeypatch.setenv(VARIABLE, backend)
    model = random_model(**SHAPE)
    codes, explain = windows(model), METHODS[method]
    want = explain(Networks(untied(model), "both", "cpu"), codes)
    assert np.abs(want.hypothetical).max() > 0.01
    for strand in ("+", "both"):
        networks = Networks(model, strand, "cpu")
        assert len(networks.runs) == 1 and networks.symmetric
        assert_same(explain(networks, codes), want)


def test_a_mutagenesis_asks_one_network(monkeypatch):
    asked = []

    class Counting(mutagenesis.WholeWindows):
        def changes(self, *arguments):
            asked.append(1)
            return super().changes(*arguments)

    monkeypatch.setenv(VARIABLE, "reference")
    monkeypatch.setattr(mutagenesis, "WholeWindows", Counting)
    model = random_model(**SHAPE)
    for one, passes in ((model, 1), (untied(model), 2)):
        asked.clear()
        Mutagenesis(Networks(one, "both", "cpu")).explain(windows(one, 3), [0])
        assert len(asked) == 3 * passes


@pytest.mark.parametrize("strand", ["+", "both"])
@pytest.mark.parametrize("method", METHODS)
def test_members_of_both_kinds_count_alike(method, strand):
    members = [random_model(**SHAPE), random_model(first_kernel=7), random_model(**SHAPE)]
    networks = Networks(Ensemble(members).eval(), strand, "cpu")
    assert len(networks.runs) == (4 if strand == "both" else 3) and not networks.symmetric
    codes, explain = windows(members[0]), METHODS[method]
    each = [explain(Networks(member, strand, "cpu"), codes) for member in members]
    mean = [np.mean([getattr(x, name) for x in each], 0) for name in ("hypothetical", "logit")]
    assert_same(explain(networks, codes), each[0]._replace(hypothetical=mean[0], logit=mean[1]))


def test_attributions_of_the_reverse_complement_are_turned():
    model = random_model(**SHAPE)
    codes = windows(model, 2).clip(0, 3)
    networks = Networks(model, "+", "cpu")
    plus, minus = (METHODS["ism"](networks, x).hypothetical for x in (codes, 3 - codes[:, ::-1]))
    np.testing.assert_allclose(minus[:, ::-1, ::-1], plus, atol=1e-4 * np.abs(plus).max())


@pytest.mark.parametrize("strand", ["+", "both"])
def test_the_command_says_that_strands_are_the_same(run, tmp_path, caplog, strand):
    caplog.set_level(logging.INFO)
    calling_model(**SHAPE).save(tmp_path / "m")
    write_fasta(tmp_path / "g.fa", small_genome())
    (tmp_path / "r.bed").write_text("chr20\t1000\t1200\nchr21\t5000\t5200\n")
    words = ["attribute", "-g", "g.fa", "-m", "m", "-b", "r.bed", "-t", "REST", "-o", "out"]
    code, _, err = run(*words, "--strand", strand, "--method", "ism")
    assert code == 0, err
    assert "both strands are the same, and are explained in one pass" in err + caplog.text
    assert json.loads((tmp_path / "out" / "run.json").read_text())["one_pass"] is True


def test_captum_takes_it_as_any_module():
    attr = pytest.importorskip("captum.attr")
    model = random_model(**SHAPE)
    codes = torch.from_numpy(windows(model, 2).clip(0, 3))
    x = torch.nn.functional.one_hot(codes.long(), 4).transpose(1, 2).float()
    theirs = attr.IntegratedGradients(model).attribute(x, target=1, n_steps=7)
    ours = integrated_gradients(Networks(model, "+", "cpu"), codes.numpy(), [1], steps=7)[0]
    shares = (ours.hypothetical * x.numpy()).sum(1)
    np.testing.assert_allclose(theirs.sum(1).numpy(), shares, atol=1e-4)
