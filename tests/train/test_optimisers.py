"""Muon for kernels of hidden convolutions, AdamW for all else."""

import pytest
import torch
from support.train import SHORT, TRAIN, VALID, new_model, score

from tcnfast.engines import pairs
from tcnfast.train.fit import fit
from tcnfast.train.optimisers import Muon, hidden_kernels, make_optimiser, orthogonalised
from tcnfast.train.train_config import TrainConfig

CPU = torch.device("cpu")
MUON = TrainConfig(optimiser="muon", learning_rate=0.01, weight_decay=0.1)


@pytest.mark.parametrize("shape", [(3, 20, 60), (2, 60, 20), (1, 32, 32)])
def test_singular_values_become_one_and_vectors_stay(shape):
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    made = u.mT @ orthogonalised(matrices) @ v.mT
    ones = made.diagonal(dim1=1, dim2=2)
    assert 0.6 < ones.min() and ones.max() < 1.3
    assert (made - torch.diag_embed(ones)).abs().max() < 0.01


def stepped(optimiser, model, seed=3, steps=2):
    """Parameters after steps on gradients that a seed draws."""
    torch.manual_seed(seed)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimiser.step()
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("shape", [{}, dict(norm="weight"), dict(symmetric=True)])
def test_all_but_hidden_kernels_move_as_with_adamw(shape):
    model, other = new_model(**shape), new_model(**shape)
    config = TrainConfig(learning_rate=0.01, weight_decay=0.1)
    ours = stepped(make_optimiser(model, MUON, CPU), model)
    adamw = stepped(make_optimiser(other, config, CPU), other)
    kernels = {n for n, p in model.named_parameters() if p.ndim == 3 and p.shape[1] == 32}
    assert len(kernels) == 2 * 5 - 1
    for name, parameter in ours.items():
        assert torch.equal(parameter, adamw[name]) == (name not in kernels), name


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_is_orthogonal_and_of_the_size_of_the_rate(symmetric):
    model = new_model(symmetric=symmetric)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    after = stepped(make_optimiser(model, MUON, CPU), model, steps=1)
    names = {id(p): name for name, p in model.named_parameters()}
    for kernel in hidden_kernels(list(model.parameters())):
        name = names[id(kernel)]
        step = after[name] - before[name] * (1 - 0.01 * 0.1)
        if symmetric:  # the whole network's kernel is its own flip, and its step is orthogonal
            step = pairs.whole(step)
        values = torch.linalg.svdvals(step.flatten(1)) / (0.01 * 0.2 * (32 * 3) ** 0.5)
        assert 0.6 < values.min() and values.max() < 1.3, name


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_learns_planted_motifs(dataset, symmetric):
    model = new_model(symmetric=symmetric)
    steps = dict(steps=150, epoch_steps=150, tile_steps=16)
    config = TrainConfig(**SHORT | steps | dict(optimiser="muon", learning_rate=0.01))
    fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    scores = score(model, dataset)
    assert (scores.ap > 3 * scores.chance).all()


def test_no_gradient_no_step():
    model = new_model()
    optimiser = make_optimiser(model, MUON, CPU)
    assert isinstance(optimiser, Muon)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser.step()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
