"""Symmetric blocks in training on the C++ engine, in the halved form: outputs, pooled statistics
and every gradient are those of the full weights in ``model.Block``."""

import pytest
import torch
from support.block import (
    code_residual,
    compare,
    from_engine,
    parameters_of,
    run_engine,
    settings_of,
    to_engine,
)
from support.block_cases import Case, case_name
from support.engine import ENGINES, every_engine, needs_engine, random_codes
from support.random_blocks import random_block, random_gradient, random_input, random_masks, seams
from torch.nn.utils import parametrize

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import cpu_engine, ops
from tcnfast.engines.backend import VARIABLE
from tcnfast.model.tcn import TCN, TCNConfig

pytestmark = needs_engine

PRECISIONS = sorted({precision for _, precision in ENGINES})


def symmetric(*fields):
    return Case(*fields)._replace(symmetric=True)


TABLE = [
    # the first block, which reads codes
    symmetric(0, 2, 2, 2, 1, "batch", "centred", 2, 30),
    symmetric(0, 6, 3, 15, 32, "weight", "centred", 2, 20, 1, 0.3),
    symmetric(0, 16, 4, 6, 2, "batch", "centred", 7, 12, 0, 0.3),
    symmetric(0, 34, 7, 19, 4, "batch", "centred", 2, 21),
    symmetric(0, 64, 3, 19, 32, "batch", "centred", 7, 60, 1),
    # the others, which read rows: dilations 1 to 16, strides 1 and 2, odd and even kernels
    symmetric(1, 2, 3, 3, 1, "weight", "centred", 7, 60),
    symmetric(1, 6, 4, 4, 2, "batch", "centred", 2, 41, 1, 0.3),
    symmetric(1, 64, 3, 15, 16, "batch", "centred", 7, 60, 1, 0.1),
    symmetric(2, 10, 5, 5, 8, "weight", "centred", 7, 17, 1),
    symmetric(2, 34, 2, 2, 4, "batch", "centred", 7, 60, 0, 0.3),
    symmetric(3, 16, 7, 7, 16, "batch", "centred", 2, 9, 1, 0.3),
    symmetric(3, 4, 6, 6, 1, "weight", "centred", 2, 35),
    symmetric(4, 18, 3, 3, 1, "batch", "centred", 1, 35),
    # rows at the seams of spans outweigh the others
    symmetric(0, 6, 3, 15, 1, "batch", "centred", 2, 1100, 0, 0.3, 16.0),
    symmetric(1, 18, 3, 3, 4, "batch", "centred", 2, 700, 1, 0.0, 16.0),
    symmetric(2, 4, 4, 4, 8, "weight", "centred", 2, 520, 1, 0.0, 16.0),
]
ON_ROWS, ON_CODES = TABLE[-2], TABLE[-3]


@every_engine
@pytest.mark.parametrize("case", TABLE, ids=case_name)
def test_outputs_and_gradients_are_those_of_the_full_weights(
    monkeypatch, nan_filled_memory, isa, precision, case
):
    monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)
    flipped = compare(case, precision)
    assert flipped <= (0 if precision == "fp32" else 0.01) * case.draws * 3 * case.channels * (
        case.sequences * case.length1
    )


def run_block(case, precision, halved, leaves, masks, x, dy):
    """Natural-order output, and the gradient of each leaf, of full weights given as they are."""
    padded = cpu_engine.padded_channels(case.channels // 2, precision) * 2
    rows = x
    if case.index:
        padded = padded if halved else cpu_engine.padded_channels(case.channels, precision)
        rows = to_engine(x, padded, halved).requires_grad_()
    leaves = {
        name: leaf if leaf is None else leaf.clone().requires_grad_()
        for name, leaf in leaves.items()
    }
    residual = leaves.pop("residual")
    settings = settings_of(random_block(case), case.grid, precision)[:-1]
    outputs = ops.block(rows, *leaves.values(), *masks, residual, *settings, halved)
    y = outputs[0]
    y.backward(to_engine(dy, y.shape[-1], halved))
    gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf is not None}
    if residual is not None:
        gradients["residual"] = residual.grad
    if case.index:
        gradients["x"] = from_engine(rows.grad, case.channels, halved)
    return from_engine(y.detach(), case.channels, halved), gradients


def averaged(name, gradient):
    """The mean of a parameter's gradient and its flip; N has no complement but itself."""
    if name == "x":
        return gradient
    if name == "residual":
        return torch.cat([averaged("", part) for part in (gradient[:4], gradient[4:])])
    return (gradient + gradient.flip(tuple(range(gradient.ndim)))) / 2


def given(case, precision):
    block = random_block(case)
    leaves = {name: p if p is None else p.detach() for name, p in parameters_of(block).items()}
    leaves["residual"] = None if case.index else code_residual(block).detach()
    return (
        leaves,
        random_masks(case),
        random_input(case, precision),
        random_gradient(case, precision),
    )


# even kernels with a stride of 2 have phases that are not their own flip
DIRECT = [
    symmetric(0, 6, 3, 15, 2, "weight", "centred", 2, 60, 1, 0.3),
    symmetric(1, 10, 3, 3, 4, "weight", "centred", 2, 60, 1, 0.3),
    symmetric(1, 10, 4, 4, 4, "weight", "centred", 2, 60, 1),
    symmetric(2, 34, 5, 5, 1, "weight", "centred", 2, 60),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", DIRECT, ids=case_name)
def test_it_is_the_direct_operator_on_full_weights(precision, case):
    arguments = given(case, precision)
    halved, direct = (run_block(case, precision, form, *arguments) for form in (True, False))
    tolerance = 2e-6 if precision == "fp32" else 0.03
    scale = float(direct[0].abs().max())
    torch.testing.assert_close(halved[0], direct[0], rtol=0, atol=tolerance * scale)
    for name, want in direct[1].items():
        want = averaged(name, want)
        error = (halved[1][name] - want).float().norm() / want.float().norm()
        assert error < (1e-5 if precision == "fp32" else 0.1), name


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [ON_CODES, ON_ROWS, TABLE[6]], ids=["codes", "rows", "even"])
def test_gradients_and_statistics_are_their_own_flips(case, precision):
    leaves, *rest = given(case, precision)
    _, gradients = run_block(case, precision, True, leaves, *rest)
    for name, gradient in gradients.items():
        assert name == "x" or torch.equal(gradient, averaged(name, gradient)), name
    outputs = run_engine(case, random_block(case), *rest[1:], rest[0], precision).outputs
    for name in ("mean1", "var1", "mean2", "var2"):
        assert torch.equal(outputs[name], outputs[name].flip(0))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [ON_CODES, ON_ROWS], ids=["codes", "rows"])
def test_bits_depend_neither_on_the_run_nor_on_threads(nan_filled_memory, case, precision):
    results = []
    case = case._replace(sequences=9)  # groups of several spans
    arguments = given(case, precision)
    for threads in (1, 1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run_block(case, precision, True, *arguments))
    for y, gradients in results[1:]:
        assert torch.equal(y, results[0][0])
        for name, gradient in gradients.items():
            assert torch.equal(gradient, results[0][1][name]), name


@pytest.mark.parametrize("case", [ON_CODES, TABLE[9]], ids=["codes", "rows"])
def test_the_gradient_of_the_input_alone_is_the_same(case):
    """Of rows that of the whole backward pass; of codes the slope of the one-hot form."""
    leaves, masks, x, dy = given(case, "fp32")
    residual = leaves.pop("residual")
    settings = settings_of(random_block(case), case.grid, "fp32")
    padded = cpu_engine.padded_channels(case.channels // 2, "fp32") * 2
    rows = x if case.index == 0 else to_engine(x, padded, True)
    arguments = [rows, *leaves.values(), *masks, residual, *settings]
    saved = ops.block(*arguments)
    got = ops.block_input_gradient(to_engine(dy, padded, True), saved, *arguments)
    if case.index:
        whole = ops.block_backward(to_engine(dy, padded, True), saved, *arguments)[0]
        assert torch.equal(got, whole)
        return
    block, one_hot = random_block(case).double(), torch.eye(5, 4, dtype=torch.float64)[x.long()]
    one_hot = one_hot.permute(0, 2, 1).unsqueeze(2).requires_grad_()
    for drop, mask in zip((block.drop1, block.drop2), masks, strict=True):
        drop.forward = lambda maps, mask=mask: maps * mask[:, :, None, None]
    block(one_hot, case.grid).backward(dy.double().permute(0, 2, 1).unsqueeze(2))
    want = one_hot.grad.squeeze(2).permute(0, 2, 1)
    assert (got - want).norm() / want.norm() < 1e-4


def test_channels_that_are_no_pairs_are_refused():
    case = symmetric(1, 4, 3, 3, 1, "weight", "centred", 2, 9)
    leaves, masks, x, dy = given(case, "fp32")
    leaves = {name: leaf if leaf is None else leaf[:3] for name, leaf in leaves.items()}
    for name in ("weight1", "weight2"):
        leaves[name] = leaves[name][:, :3].contiguous()
    with pytest.raises(TcnfastError, match="3 channels are no pairs"):
        run_block(case, "fp32", True, leaves, masks, x, dy)


# planted errors


def forget_a_pair_of_taps(run):
    weight = run.gradients["conv2.parametrizations.weight.original"]
    weight[:, :, [0, -1]] = 0


def exchange_partners(run):
    weight = run.gradients["conv2.parametrizations.weight.original"]
    weight.copy_(weight.flip(1))


def reverse_the_taps(run):
    weight = run.gradients["conv1.parametrizations.weight.original"]
    weight.copy_(weight.flip(2))


def halve_a_gradient(run):
    run.gradients["norm2.weight"] /= 2


def exchange_the_strands_of_a_row(run):
    y = run.outputs["y"]
    y[0, seams(y.shape[1])[-1]] = y[0, seams(y.shape[1])[-1]].flip(0).clone()


def forget_the_differences_of_dx(run):
    dx = run.gradients["x"]
    dx.copy_((dx + dx.flip(2)) / 2)


def keep_a_mean_for_each_channel(run):
    run.outputs["mean1"] = run.outputs["a1"].mean((0, 1)).float()


PLANTED = [
    forget_a_pair_of_taps,
    exchange_partners,
    reverse_the_taps,
    halve_a_gradient,
    exchange_the_strands_of_a_row,
    forget_the_differences_of_dx,
    keep_a_mean_for_each_channel,
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("spoil", PLANTED, ids=lambda f: f.__name__)
def test_planted_errors_are_found(monkeypatch, spoil, precision):
    isa = next(isa for isa, has in ENGINES if has == precision)
    monkeypatch.setenv(cpu_engine.ISA_VARIABLE, isa)
    with pytest.raises(AssertionError):
        compare(ON_ROWS, precision, spoil)


# trainings


def small_model():
    torch.manual_seed(0)
    return TCN(TCNConfig(labels=["a", "b"], channels=6, blocks=4, dropout=0.2, symmetric=True))


def steps(model, codes, n, rate=0.05):
    """Losses of ``n`` steps of gradient descent."""
    losses = []
    for step in range(n):
        torch.manual_seed(step)  # of dropout
        loss = (model.dense(codes, 4) - 1).square().mean()
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
        losses.append(loss.item())
    return losses


def untied(model):
    """The same network of full weights, each gradient projected on those that are their own flip:
    what a step of half of them moves the whole by."""
    for module in model.modules():
        for name in list(getattr(module, "parametrizations", {})):
            axes = module.parametrizations[name][0].axes
            parametrize.remove_parametrizations(module, name)
            tensor = getattr(module, name)
            axes = axes or tuple(range(tensor.ndim))
            tensor.register_hook(lambda g, axes=axes: g + g.flip(axes))
    return model


def test_losses_are_those_of_projected_full_weights(monkeypatch):
    model = small_model().train()
    projected = untied(small_model().train())
    codes = random_codes(4, model.receptive_field + 60)
    monkeypatch.setenv(VARIABLE, "reference")
    want = steps(projected.unfused(), codes, 12)
    monkeypatch.setenv(VARIABLE, "cpu")
    got = steps(model, codes, 12)
    assert want[-1] < 0.7 * want[0]
    torch.testing.assert_close(torch.tensor(got), torch.tensor(want), rtol=1e-4, atol=0)
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked") and "parametrizations" not in name:
            torch.testing.assert_close(tensor, projected.state_dict()[name], rtol=1e-3, atol=1e-4)
    filters = projected.blocks[1].conv1.weight
    assert torch.allclose(filters, filters.flip(0, 1, 2), atol=1e-6)
    torch.testing.assert_close(model.blocks[1].conv1.weight, filters, rtol=1e-3, atol=1e-4)


def test_a_training_goes_on_where_it_stopped(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, "cpu")
    model = small_model().train()
    codes = random_codes(4, model.receptive_field + 60)
    steps(model, codes, 2)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    want = steps(model, codes, 2)
    other = small_model().train()
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert steps(other, codes, 2) == want
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
