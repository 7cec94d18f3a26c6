"""Models and plans go to other processes, and score there to the same bits."""

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from tcnfast import TCN, Plan, TCNConfig
from tcnfast.engines import backend as backends
from tcnfast.model.ensemble import Ensemble

SHAPES = {
    "batch norm": {},
    "weight norm": {"norm": "weight"},
    "symmetric": {"symmetric": True},
    "symmetric, weight norm": {"symmetric": True, "norm": "weight"},
}
SCORE = """
import pickle, sys
import torch
torch.set_num_threads(1)
codes, models = pickle.load(open(sys.argv[1], "rb"))
with torch.no_grad():
    pickle.dump([model(torch.from_numpy(codes)).numpy() for model in models], sys.stdout.buffer)
"""


def network(seed=0, **shape):
    torch.manual_seed(seed)
    model = TCN(TCNConfig(labels=["A", "B"], channels=8, blocks=3, **shape))
    with torch.no_grad():
        model.train()(torch.rand(4, 4, 64))  # running statistics of its own
    return model.eval()


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(0).integers(0, 5, (3, 200), np.uint8)


def scored_in_a_new_process(folder, codes, models):
    (folder / "models").write_bytes(pickle.dumps((codes, models)))
    command = [sys.executable, "-c", SCORE, str(folder / "models")]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


def test_models_and_plans_score_alike_in_a_new_process(tmp_path, codes):
    models = [network(**shape) for shape in SHAPES.values()]
    models.append(Ensemble([network(0), network(1, symmetric=True)]))
    for backend in ("reference", "cpu"):
        plan = Plan(models[0], stride=2, device="cpu", backend=backend, strand="both")
        models.append(plan)
    models.append(Plan(models[4], stride=4, device="cpu", precision="fp32", strand="both"))
    with torch.no_grad():
        here = [model(torch.from_numpy(codes)).numpy() for model in models]
    there = scored_in_a_new_process(tmp_path, codes, models)
    assert [x.tobytes() for x in here] == [x.tobytes() for x in there]


def score(plan, codes):
    torch.set_num_threads(1)
    return plan(codes).numpy()


def test_a_plan_goes_to_a_spawned_worker(codes):
    plan = Plan(network(), device="cpu", precision="fp32", stride=4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(score, (plan, codes)).tobytes() == plan(codes).numpy().tobytes()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_all_of_a_model_comes_back(shape):
    model = network(**shape).double()
    model.head.bias.requires_grad_(False)
    model.thresholds, model.engine = {"A": None}, False
    drawn = torch.get_rng_state()
    back = pickle.loads(pickle.dumps(model))
    assert torch.equal(torch.get_rng_state(), drawn), "unpickling draws no random numbers"
    assert back.config == model.config and back.thresholds == {"A": None} and not back.engine
    assert not back.training and not back.head.bias.requires_grad
    assert back.head.weight.dtype == torch.float64
    assert all(
        torch.equal(x, y) for x, y in zip(back.parameters(), model.parameters(), strict=True)
    )
    back.train()(torch.rand(2, 4, 64).double()).sum().backward()  # and trains


def test_a_copy_shares_and_a_deep_copy_does_not():
    model = network(symmetric=True)
    assert copy.copy(model).blocks is model.blocks
    deep = copy.deepcopy(model)
    with torch.no_grad():
        deep.blocks[0].conv1.parametrizations.weight.original.zero_()
    assert model.blocks[0].conv1.weight.abs().sum() > 0


def test_a_plan_does_not_follow_its_model(codes):
    model = network()
    plan = Plan(model, device="cpu", precision="fp32", stride=4, backend="reference")
    before = plan(codes)
    with torch.no_grad():
        model.head.weight.zero_()
    assert torch.equal(pickle.loads(pickle.dumps(plan))(codes), before)


def test_a_plan_that_cannot_run_where_it_is_opened_says_so(monkeypatch):
    pickled = pickle.dumps(Plan(network(), device="cpu", precision="fp32", backend="reference"))

    def refuse(task, name, device, precision, **needs):
        raise backends.TcnfastError(f"backend {name} with {precision}: not here")

    monkeypatch.setattr(backends, "choose", refuse)
    with pytest.raises(backends.TcnfastError, match="backend reference with fp32: not here"):
        pickle.loads(pickled)
