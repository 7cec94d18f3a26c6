"""What the tests of training share: random residual blocks, ``ops.block`` on them, and the truth.

A gradient jumps where a ReLU flips, and a number within its rounding of zero may round to either
side. So gradients are compared at equal ReLUs: the truth, and PyTorch's own try, are made to take
the decisions that the engine took; and those decisions are compared by themselves, each that
differs from the truth's being one whose argument is zero within the rule (``numerics.flips``).
"""

import copy
import os
from contextlib import nullcontext
from functools import lru_cache
from typing import NamedTuple
from unittest import mock

import torch
from numerics import MatrixUnits, assert_close, flips
from torch import nn

from support.interpreter import on_matrix_units
from support.random_blocks import random_block, random_gradient, random_input, random_masks
from support.ranks import in_threads
from tcnfast.engines import halved, ops, pairs, reference
from tcnfast.engines.backend import VARIABLE
from tcnfast.engines.cpu_engine import ISA_VARIABLE
from tcnfast.engines.ranks import ALONE

CPU, GPU = torch.device("cpu"), torch.cuda.is_available()
FEW = 64  # numbers
DIRECT = reference.conv


def parameters_of(block):
    """The tensors of ``ops.block`` that are parameters, or made from them, differentiably."""
    norms = block.norm1, block.norm2
    gains = shifts = None, None
    if isinstance(block.norm1, nn.BatchNorm2d):
        gains, shifts = ([getattr(norm, name) for norm in norms] for name in ("weight", "bias"))
        if block.symmetric:
            gains, shifts = (list(map(pairs.whole, vectors)) for vectors in (gains, shifts))
    else:
        shifts = block.conv1.bias, block.conv2.bias
    return dict(
        weight1=block.conv1.weight,
        weight2=block.conv2.weight,
        gain1=gains[0],
        shift1=shifts[0],
        gain2=gains[1],
        shift2=shifts[1],
    )


def code_residual(block):
    one_hot = torch.eye(5, 4)
    if block.residual is None:
        return one_hot
    return one_hot @ block.residual.weight.squeeze(-1).T + block.residual.bias


def settings_of(block, grid, precision):
    eps = getattr(block.norm1, "eps", 0.0)
    return grid.dilation, grid.stride, block.tap // grid.grid_in, eps, precision, block.symmetric


def to_engine(rows, padded, symmetric):
    """(N, L, C) -> (N, L, padded) in the order and with the zeros of an engine's rows."""
    if symmetric:
        return pairs.to_rows(rows, padded)
    return nn.functional.pad(rows, (0, padded - rows.shape[-1]))


def from_engine(rows, channels, symmetric):
    return pairs.from_rows(rows, channels) if symmetric else rows[..., :channels]


class Kept(nn.Module):
    """A ReLU whose decisions are given: (N, C, 1, L)."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def forward(self, x):
        return torch.where(self.kept, x, torch.zeros((), dtype=x.dtype))


class Scaled(nn.Module):
    """A dropout whose draw is given, (N, C) or None."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, x):
        return x if self.mask is None else x * self.mask[:, :, None, None].to(x.dtype)


def to_maps(rows):
    """(N, L, C) -> (N, C, 1, L), channels last in memory."""
    return rows.permute(0, 2, 1).unsqueeze(2)


def to_rows(maps):
    return maps.squeeze(2).permute(0, 2, 1)


class Run(NamedTuple):
    """One run of a block: outputs (N, L, C), statistics, gradients and ReLU arguments, by name."""

    outputs: dict
    gradients: dict
    arguments: list


def on_kernels():
    """Whether the Triton kernels are named to run; else the C++ engine does."""
    return os.environ.get(VARIABLE) == "triton"


def run_engine(case, block, x, dy, masks, precision, ranks=ALONE):
    """``ops.block`` and its gradients; ``arguments`` are the decisions of the three ReLUs."""
    settings = settings_of(block, case.grid, precision)
    device = torch.device("cuda" if on_kernels() and GPU else "cpu")
    block, x, dy = block.to(device), x.to(device), dy.to(device)
    masks = [mask if mask is None else mask.to(device) for mask in masks]
    parameters = parameters_of(block)
    inputs, residual = x, None
    if case.index == 0:
        residual = code_residual(block).to(device)
    else:
        run = ops.implementation(x.device, precision)
        padded = run.padded_channels(case.channels, precision, case.symmetric)
        inputs = to_engine(x, padded, case.symmetric).requires_grad_()
    given = inputs, *parameters.values(), *masks, residual, *settings
    y, a1, a2, *statistics = ops.block(*given, ranks=ranks.name)
    assert not any(t.requires_grad for t in (a1, a2, *statistics))
    block.zero_grad()
    y.backward(to_engine(dy, y.shape[-1], case.symmetric))
    gradients = {name: p.grad.clone() for name, p in block.named_parameters()}
    gradients = {name: gradient.cpu() for name, gradient in gradients.items()}
    statistics = [t.cpu() for t in statistics]
    block.cpu()
    parameters = parameters_of(block)
    y, a1, a2 = (
        from_engine(t.detach(), case.channels, case.symmetric).double().cpu() for t in (y, a1, a2)
    )
    outputs = dict(y=y, a2=a2) | ({"a1": a1} if case.index else {})
    if case.index == 0:
        first = multiplied if on_kernels() else looked_up
        a1 = first(x.cpu(), block.conv1.weight.detach(), ops.ROWS[precision])
    if case.index:
        gradients["x"] = from_engine(inputs.grad, case.channels, case.symmetric).cpu()
        again = to_engine(gradients["x"], padded, case.symmetric)
        assert torch.equal(inputs.grad.cpu(), again), "zeros of dx"
    decisions = []
    for i, a in ((1, a1), (2, a2)):
        gain, shift = (parameters[f"{name}{i}"] for name in ("gain", "shift"))
        batch = case.norm == "batch"
        norm = (gain.detach(), *statistics[2 * i - 2 : 2 * i], settings[3]) if batch else None
        decisions.append(decided(a, shift.detach(), norm))
    decisions.append(to_maps(y > 0))
    names = ("mean1", "var1", "mean2", "var2") if case.norm == "batch" else ()
    outputs |= dict(zip(names, statistics, strict=False))
    return Run(outputs, gradients, decisions)


def decided(a, shift, norm=None):
    """Whether the ReLU of ``a`` (N, L, C) kept it, the sign of its argument as the engine computes
    it; ``norm`` is gain, mean, variance and eps of the batch norm."""
    scale, shift = torch.ones(len(shift)), shift.double()
    if norm:
        gain, mean, var, eps = norm
        scale = gain.double() / (var.double() + eps).sqrt()
        shift = shift - mean.double() * scale
    return to_maps(a.double() * scale.float().double() + shift.float().double() > 0)


def looked_up(codes, weight, dtype):
    """The first convolution to the last bit: tables of three taps, added up in float32."""
    total, taps = 0, weight.shape[2]
    one_hot = reference.one_hot(codes, torch.float64)
    for first in range(0, taps, 3):
        some = weight[:, :, first : first + 3].double()
        end = codes.shape[1] - taps + first + some.shape[2]
        total = total + reference.conv(one_hot[..., first:end], some).float()
    return to_rows(total).to(dtype).double()


def multiplied(codes, weight, dtype):
    """The first convolution as products of one-hot DNA give it, of rounded weights."""
    weight = weight.to(dtype).double()
    total = reference.conv(reference.one_hot(codes, torch.float64), weight)
    return to_rows(total).float().to(dtype).double()


def halved_conv(x, weight, *rest):
    """``reference.conv`` in bfloat16, halved where it does not read DNA, but for the gradient of
    the weights: what the engine rounds in bfloat16, PyTorch's try rounds."""
    with torch.autocast("cpu", enabled=False):
        x, weight, *rest = (
            t.bfloat16() if isinstance(t, torch.Tensor) else t for t in (x, weight, *rest)
        )
        if weight.shape[1] == 4:
            return DIRECT(x, weight, *rest)
        of_weight = DIRECT(x.detach(), weight, *rest).float()
        of_input = halved.conv(x, weight.detach(), *rest).float()
        # in this order: the layout of the first is the sum's, and PyTorch adds up worse in others
        return ((of_weight - of_weight.detach()) + of_input).bfloat16()


def run_plain(case, block, x, dy, masks, dtype, decisions=None):
    """``model.Block`` itself in ``dtype``, bfloat16 being autocast of float32 as models train."""
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    plain = random_block(case).to(wide)
    plain.load_state_dict(block.state_dict())
    plain.drop1, plain.drop2 = map(Scaled, masks)
    if decisions is not None:
        plain.relu1, plain.relu2, plain.relu3 = map(Kept, decisions)
    arguments, convolved = [], []
    for relu in (plain.relu1, plain.relu2, plain.relu3):
        relu.register_forward_pre_hook(lambda _, args: arguments.append(args[0].detach()))
    for norm in (plain.norm1, plain.norm2):
        norm.register_forward_pre_hook(lambda _, args: convolved.append(to_rows(args[0].detach())))
    if case.index == 0:
        inputs = reference.one_hot(x, wide)
    else:
        inputs = to_maps(x.detach().clone().to(dtype).contiguous()).requires_grad_()
    bf16 = dtype == torch.bfloat16
    # PyTorch's try at a symmetric block is wrong by what the halved form rounds
    form = mock.patch.object(reference, "conv", halved_conv) if case.symmetric else nullcontext()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), form if bf16 else nullcontext():
        y = plain(inputs, case.grid)
    y.backward(to_maps(dy).to(y.dtype))
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    if case.index:
        gradients["x"] = to_rows(inputs.grad)
    if case.norm != "batch":  # the engine adds the bias with the activation
        convs = plain.conv1, plain.conv2
        convolved = [a - c.bias.detach() for a, c in zip(convolved, convs, strict=True)]
    outputs = dict(y=to_rows(y.detach()), a1=convolved[0], a2=convolved[1])
    if case.norm == "batch":
        for i, (norm, a) in enumerate(zip((plain.norm1, plain.norm2), convolved, strict=True), 1):
            count = a.numel() // len(norm.running_mean)
            outputs[f"mean{i}"] = norm.running_mean
            outputs[f"var{i}"] = norm.running_var * (count - 1) / count
            if case.symmetric:
                for name in (f"mean{i}", f"var{i}"):
                    outputs[name] = pairs.whole(outputs[name])
    return Run(outputs, gradients, arguments)


def compare(case, precision, spoil=None, draws=None, together=None):
    """Raise AssertionError unless ``ops.block`` passes; the number of ReLUs that flipped.

    ``together``: what runs it in place of ``train_once``. ``spoil(run)`` may change what the engine
    gave for the first of several ``draws``; the runs themselves are made once for all that are
    spoilt.
    """
    draws = draws or case.draws
    if spoil:
        where = os.environ.get(VARIABLE), os.environ.get(ISA_VARIABLE), on_matrix_units()
        runs = _shared_runs(case, precision, draws, where)
        runs = copy.deepcopy(runs[:1]) + runs[1:]
        spoil(runs[0][0])
    else:
        runs = [_runs(case, precision, seed, together or train_once) for seed in range(draws)]
    out, ref, pt, ref_kept, pt_kept = zip(*runs, strict=True)
    check_all(*(stack([run.outputs for run in group]) for group in (out, ref, pt)))
    flipped = 0
    for i in range(3):
        flipped += flips(*(torch.stack([run.arguments[i] for run in g]) for g in (out, ref, pt)))
    assert out[0].gradients.keys() == ref_kept[0].gradients.keys()
    groups = out, ref_kept, pt_kept
    check_all(*(stack([run.gradients for run in group]) for group in groups), "gradient of ")
    return flipped


def stack(results):
    """Tensors by name, those of every draw as one: few numbers say little of how wrong PyTorch may
    be, so that more draws than one are compared."""
    return {name: torch.stack([result[name] for result in results]) for name in results[0]}


def check_all(out, ref, pt, kind=""):
    """``assert_close`` for tensors by name. Vectors of channels, a handful of numbers, are compared
    as one, each in units of its own largest: they share what PyTorch is wrong by."""
    few = [name for name in out if out[name][0].numel() < FEW]
    for name in out:
        if name not in few:
            check(kind + name, out[name], ref[name].double(), pt[name])
    if not few:
        return
    scale = {name: ref[name].double().abs().max().clamp_min(1e-300) for name in few}
    parts = [
        torch.cat([(tensors[name].double() / scale[name]).flatten() for name in few])
        for tensors in (out, ref, pt)
    ]
    owner = [name for name in few for _ in range(out[name].numel())]
    worst = owner[(parts[0] - parts[1]).abs().nan_to_num(torch.inf).argmax()]
    check(
        f"{kind}{worst} among {len(few)} tensors in units of their largest",
        *parts[:2],
        parts[2].float(),
    )


def train_once(case, precision, seed=0):
    """Forward and backward pass on the engine."""
    block, x = random_block(case, seed), random_input(case, precision, seed)
    dy, masks = random_gradient(case, precision, seed), random_masks(case, seed)
    return run_engine(case, block, x, dy, masks, precision)


def train_together(count, case, precision, seed=0, spoil=None):
    """The same where ``count`` processes share the batch, as one run. What norms have seen must be
    the same bits in all of them."""
    blocks, x = (
        [random_block(case, seed) for _ in range(count)],
        random_input(case, precision, seed),
    )
    dy, masks = random_gradient(case, precision, seed), random_masks(case, seed)

    def one(ranks):
        own = [mask if mask is None else mask[ranks.rows] for mask in masks]
        given = x[ranks.rows], dy[ranks.rows], own, precision, ranks
        return run_engine(case, blocks[ranks.rank], *given)

    runs = in_threads(count, one, spoil)
    outputs = {
        name: value if name[:3] in ("mea", "var") else _rows_of([r.outputs[name] for r in runs])
        for name, value in runs[0].outputs.items()
    }
    for name in outputs:
        if name[:3] in ("mea", "var"):
            assert all(torch.equal(run.outputs[name], outputs[name]) for run in runs), name
    gradients = {
        name: (_rows_of if name == "x" else sum)([r.gradients[name] for r in runs])
        for name in runs[0].gradients
    }
    arguments = [_rows_of([r.arguments[i] for r in runs]) for i in range(3)]
    return Run(outputs, gradients, arguments)


def _rows_of(parts):
    """The rows of processes, put together as ``Ranks.rows`` deals them."""
    return torch.stack(parts, 1).flatten(0, 1)


def _runs(case, precision, seed, once=train_once):
    """The engine's, the truth and PyTorch's try, and the last two at the engine's ReLUs."""
    out = once(case, precision, seed)
    rest = []
    for kept in (None, tuple(map(Decisions, out.arguments))):
        for dtype in (torch.float64, ops.ROWS[precision]):
            units = on_kernels() and on_matrix_units() and dtype == torch.float32
            rest.append(_plain(case, precision, dtype, seed, kept, units))
    return out, *rest


@lru_cache(4)
def _shared_runs(case, precision, draws, where):
    """Runs that no caller may change; ``where`` is what decides which code runs."""
    return [_runs(case, precision, seed) for seed in range(draws)]


class Decisions:
    """Booleans by value: engines that decide alike share a truth."""

    def __init__(self, kept):
        self.kept = kept
        self.bytes = kept.contiguous().numpy().tobytes()

    def __eq__(self, other):
        return self.bytes == other.bytes

    def __hash__(self):
        return hash(self.bytes)


@lru_cache(200)
def _plain(case, precision, dtype, seed, kept, units):
    block, x = random_block(case, seed), random_input(case, precision, seed)
    dy, masks = random_gradient(case, precision, seed), random_masks(case, seed)
    with MatrixUnits(precision) if units else nullcontext():
        return run_plain(case, block, x, dy, masks, dtype, kept and [d.kept for d in kept])


def check(name, out, ref, pt):
    try:
        assert_close(out, ref, pt)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None
