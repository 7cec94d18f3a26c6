"""The operators of training as PyTorch sees them: opcheck, compilation, several processes, tensors
that are not contiguous, and bits that depend on nothing but the numbers."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.block import code_residual, parameters_of, settings_of
from support.block_cases import Case
from support.engine import needs_engine
from support.models import gradients, model_and_codes
from support.random_blocks import random_block, random_input, random_masks
from torch import nn

from tcnfast.engines import cpu_engine, ops
from tcnfast.engines.backend import BLOCK, why_not

pytestmark = needs_engine

CPU = torch.device("cpu")
PRECISIONS = [name for name in ("fp32", "bf16") if why_not(BLOCK, CPU, name) is None]
CASES = {
    "codes": Case(0, 5, 3, 3, 2, "batch", "centred", 2, 5, 1, 0.3),
    "rows": Case(1, 5, 3, 3, 2, "batch", "centred", 2, 5, 0, 0.3),
    "rows-no-norm": Case(2, 4, 3, 3, 1, "weight", "causal", 2, 5),
}


def arguments(case, precision):
    """Those of ``ops.block``, leaves that require gradients."""
    block = random_block(case)
    x, residual = random_input(case, precision), None
    if case.index == 0:
        residual = code_residual(block).detach().requires_grad_()
    else:
        padded = cpu_engine.padded_channels(case.channels, precision)
        x = nn.functional.pad(x, (0, padded - case.channels)).requires_grad_()
    parameters = [
        p if p is None else p.detach().requires_grad_() for p in parameters_of(block).values()
    ]
    return [
        x,
        *parameters,
        *random_masks(case),
        residual,
        *settings_of(block, case.grid, precision),
    ]


# PyTorch


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_operators_keep_their_promises(case, precision):
    """Schema, fake tensors, autograd, and tracing with shapes that vary."""
    forward = arguments(case, precision)
    torch.library.opcheck(ops.operator, forward)
    x, *parameters = (a.detach() if isinstance(a, torch.Tensor) else a for a in forward)
    saved = [t.detach() for t in ops.block(*forward)]
    backward = [torch.randn_like(saved[0]), saved, x, *parameters]
    utils = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(ops.block_backward, backward, test_utils=utils)


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")  # PyTorch says it
@pytest.mark.skipif(
    torch.__version__.split(".")[:2] < ["2", "12"], reason="PyTorch 2.11 cannot trace it whole"
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_compiles_into_one_graph(precision):
    model, codes = model_and_codes()
    twin = copy.deepcopy(model)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: model.dense(x, 2), backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        got, want = compiled(codes), twin.dense(codes, 2)
    assert torch.equal(got, want)
    got.float().square().sum().backward()
    want.float().square().sum().backward()
    torch.testing.assert_close(gradients(model), gradients(twin), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), twin.buffers(), strict=True))


DDP = """
import sys
import torch

sys.path.insert(0, sys.argv[1])
from support.models import gradients, model_and_codes

torch.set_num_threads(1)
rank = int(sys.argv[2])
store = "file://" + sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
torch.manual_seed(0)
model, codes = model_and_codes()
model.forward = lambda codes: model.dense(codes, 2)
parallel = torch.nn.parallel.DistributedDataParallel(model)
parallel(codes[2 * rank : 2 * rank + 2]).square().sum().backward()
torch.save(gradients(model), f"{sys.argv[3]}.{rank}")
del parallel  # it keeps the group, whose threads must end before the interpreter does
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this PyTorch has no gloo",
)
@pytest.mark.slow
def test_two_processes_train_on_the_mean_of_their_gradients(tmp_path):
    script = tmp_path / "ddp.py"
    script.write_text(DDP)
    tests = Path(__file__).parents[1]
    command = [sys.executable, script, tests]
    ranks = [subprocess.Popen([*command, str(rank), tmp_path / "store"]) for rank in (0, 1)]
    assert [rank.wait(100) for rank in ranks] == [0, 0]
    got = [torch.load(tmp_path / f"store.{rank}") for rank in (0, 1)]
    torch.manual_seed(0)
    model, codes = model_and_codes()
    alone = []
    for half in (codes[:2], codes[2:]):
        model.dense(half, 2).square().sum().backward()
        alone.append(gradients(model))
    mean = {name: (alone[0][name] + alone[1][name]) / 2 for name in alone[0]}
    torch.testing.assert_close(got[0], got[1], rtol=0, atol=0)
    torch.testing.assert_close(got[0], mean, rtol=1e-6, atol=1e-6)


def test_frozen_layers_get_no_gradient_and_change_none_of_the_others():
    model, codes = model_and_codes()
    model.dense(codes).square().sum().backward()
    want = gradients(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("blocks.1.", "head")))
    model.dense(codes).square().sum().backward()
    got = gradients(model)
    assert got.keys() == {name for name in want if name.startswith(("blocks.1.", "head"))}
    assert all(torch.equal(got[name], want[name]) for name in got)


def test_no_gradient_is_kept_without_grad_mode():
    model, codes = model_and_codes()
    with torch.no_grad():
        assert not model.dense(codes).requires_grad


def test_double_backward_raises():
    model, codes = model_and_codes()
    loss = model.dense(codes).square().sum()
    first = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        sum(g.square().sum() for g in first).backward()


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_gradients_accumulate_and_a_graph_may_be_kept(norm):
    model, codes = model_and_codes(norm)
    loss = model.dense(codes).square().sum()
    loss.backward(retain_graph=True)
    once = gradients(model)
    loss.backward(retain_graph=True)
    loss.backward()
    for name, p in model.named_parameters():
        assert torch.equal(p.grad, 2 * once[name])


def test_inputs_that_are_not_contiguous_give_the_same():
    model, codes = model_and_codes()
    holes = torch.stack([codes, 7 - codes], 2)[..., 0]
    turned = codes.t().contiguous().t()
    assert not holes.is_contiguous() and not turned.is_contiguous()
    want = model.dense(codes)
    assert torch.equal(model.dense(holes), want) and torch.equal(model.dense(turned), want)


def test_a_gradient_that_is_not_contiguous_gives_the_same():
    model, codes = model_and_codes("weight")
    results = []
    for turn in (lambda g: g.contiguous(), lambda g: g.mT.contiguous().mT):
        y = model.dense(codes)
        y.backward(turn(torch.linspace(-1, 1, y.numel()).reshape(y.shape)))
        results.append(gradients(model))
    for name in results[0]:
        if name.startswith("blocks"):  # the head is PyTorch's
            assert torch.equal(results[0][name], results[1][name]), name


@pytest.mark.parametrize("which", ["x", "weight1", "weight2"])
def test_tensors_that_are_not_contiguous_get_their_gradients(nan_filled_memory, which):
    names = ["x", "weight1", "weight2"]
    results = []
    for turned in (False, True):
        given = arguments(CASES["rows-no-norm"], "fp32")
        i = names.index(which)
        if turned:
            given[i] = given[i].detach().mT.contiguous().mT.requires_grad_()
            assert not given[i].is_contiguous()
        ops.block(*given)[0].square().sum().backward()
        results.append([given[j].grad for j in range(3)])
    torch.testing.assert_close(*results, rtol=0, atol=0)


# bits

LONG = {  # several groups of several spans, so that there is something to share
    "codes": Case(0, 17, 3, 5, 2, "batch", "centred", 3, 2300, 1, 0.3),
    "rows": Case(1, 5, 3, 3, 2, "batch", "centred", 9, 1100, 1, 0.3),
    "rows-no-norm": Case(2, 4, 3, 3, 1, "weight", "causal", 2, 1100),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", LONG.values(), ids=LONG)
def test_bits_depend_neither_on_the_run_nor_on_threads(nan_filled_memory, case, precision):
    results = []
    for threads in (1, 1, 2, 3):
        given = arguments(case, precision)
        torch.set_num_threads(threads)
        outputs = ops.block(*given)
        dy = torch.linspace(-1, 1, outputs[0].numel()).reshape(outputs[0].shape)
        outputs[0].backward(dy.to(outputs[0].dtype))
        leaves = [a for a in given if isinstance(a, torch.Tensor) and a.requires_grad]
        results.append([*outputs, *(leaf.grad for leaf in leaves)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)
