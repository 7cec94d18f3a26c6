"""A plan gives the numbers of its model, on every backend, and says what really runs."""

import numpy as np
import pytest
import torch
from numerics import assert_close
from support.models import random_model
from truth import DTYPES, in_precision, truth

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import backend as backends
from tcnfast.engines import plan as plans
from tcnfast.engines.plan import Plan

# not the kernels in Triton's interpreter, which takes minutes: test_triton_stack.py has small plans
BACKENDS = [name for name, devices in backends.DEVICES.items() if "cpu" in devices]


def make_plan(model, backend="reference", **options):
    """The plan, or a skip where the backend tells why it cannot run this one."""
    try:
        return Plan(model, device="cpu", backend=backend, **options)
    except TcnfastError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    "shape, stride",
    [
        (dict(), 1),
        (dict(), 16),
        (dict(first_kernel=15, alignment="causal"), 4),
        (dict(kernel_size=2, blocks=6, norm="weight"), 8),
        (dict(blocks=3), 64),
    ],
    ids=["dense", "pruned", "wide-first-causal", "weight-norm", "stride-beyond-the-top"],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers(
    make_model, make_codes, nan_filled_memory, backend, shape, stride, precision, strand
):
    model = make_model(**shape)
    options = dict(precision=precision, stride=stride, strand=strand)
    plan = make_plan(model, backend, **options)
    assert (plan.backend, plan.precision) == (backend, precision)
    codes = make_codes(2, model.receptive_field + 4 * stride + stride // 2)
    out = plan(codes)
    assert out.shape == (2, 5, 3)
    assert out.dtype == (torch.float64 if precision == "fp64" else torch.float32)
    weights, grid = model.folded(), model.config.grid(stride)
    want = truth(weights, grid, codes, strand)
    assert want.std() > 1e-2
    assert_close(out, want, in_precision(weights, grid, codes, strand, precision))


def test_one_sequence_or_a_batch_of_arrays_or_tensors(make_model, make_codes):
    plan = make_plan(make_model(), precision="fp32", stride=4)
    codes = make_codes(3, 121)
    batch = plan(codes)
    assert batch.shape == (3, 16, 3)
    for row in (codes[1], codes[1].numpy()):
        one = plan(row)
        assert one.shape == (16, 3)
        torch.testing.assert_close(one, batch[1], rtol=1e-5, atol=1e-5)
    assert torch.equal(plan(codes.numpy()), batch)


def test_an_empty_batch(make_model):
    assert make_plan(make_model(), stride=4)(np.zeros((0, 121), np.uint8)).shape == (0, 16, 3)


@pytest.mark.parametrize("view", ["strided", "reversed", "read-only"])
def test_views_of_arrays(make_model, make_codes, view):
    plan = make_plan(make_model(), precision="fp32", stride=4)
    codes = make_codes(1, 242)[0].numpy()
    codes = {"strided": codes[::2], "reversed": codes[::-1], "read-only": codes}[view]
    want = plan(codes.copy())
    if view == "read-only":  # as a memory-mapped genome is
        codes.flags.writeable = False
    assert torch.equal(plan(codes), want)


@pytest.mark.parametrize(
    "codes",
    [np.zeros(200, np.int64), torch.zeros(4, 200), np.zeros((1, 1, 200), np.uint8)],
    ids=["int64", "float", "3-d"],
)
def test_other_inputs_raise(make_model, codes):
    with pytest.raises(TcnfastError, match=r"must be uint8 codes \(T,\) or \(B, T\)"):
        make_plan(make_model())(codes)


@pytest.mark.parametrize("shape", [(60,), (2, 60), (0,)], ids=str)
def test_too_short_an_input_raises(make_model, make_codes, shape):
    plan = make_plan(make_model())
    assert plan.receptive_field == 61
    with pytest.raises(TcnfastError, match=f"{shape[-1]} bases is under the receptive field of 61"):
        plan(make_codes(*shape))


@pytest.mark.parametrize("norm", ["batch", "weight"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_plan_is_a_copy(make_model, make_codes, norm, precision):
    model, codes = make_model(norm=norm), make_codes(2, 121)
    plan = make_plan(model, precision=precision, stride=4, strand="both")
    before = plan(codes)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.mul_(2).add_(1)
    assert torch.equal(plan(codes), before)
    assert not torch.equal(make_plan(model, precision=precision, stride=4)(codes), before)


def test_making_a_plan_leaves_the_model_alone(make_model):
    model = make_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    make_plan(model, precision="bf16", strand="both")
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) and tensor.dtype == before[name].dtype


def relative(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_do_not_depend_on_the_batch(make_model, make_codes, backend):
    plan = make_plan(make_model(channels=8), backend, precision="fp32", stride=4)
    codes = make_codes(17, 200)
    want = plan(codes)
    for size in (1, 5, 16):
        got = torch.cat([plan(part) for part in codes.split(size)])
        assert relative(got, want) < 1e-5


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_do_not_depend_on_the_cuts(make_model, make_codes, backend, strand):
    stride = 8
    plan = make_plan(
        make_model(channels=8), backend, precision="fp32", stride=stride, strand=strand
    )
    codes = make_codes(3000)
    want = plan(codes)
    for steps in (1, 7, 64, 100):
        parts = [
            plan(codes[start * stride :][: plan.receptive_field + (steps - 1) * stride])
            for start in range(0, len(want), steps)
        ]
        assert relative(torch.cat(parts), want) < 1e-5


def test_scores_do_not_depend_on_the_threads(make_model, make_codes):
    plan, codes = make_plan(make_model(), precision="fp32", stride=4), make_codes(2, 400)
    want = plan(codes)
    torch.set_num_threads(2)
    assert relative(plan(codes), want) < 1e-5


# what runs


def test_auto_says_what_it_chose(make_model):
    plan = Plan(make_model())
    assert plan.backend in backends.DEVICES
    assert plan.precision in ("fp32", "bf16")
    assert plan.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert plan.stride == 32 and plan.strand == "+" and plan.labels == make_model().labels


@pytest.mark.parametrize(
    "options, word",
    [
        (dict(backend="magic"), "backend 'magic' is not in this build; it has: .*reference"),
        (dict(precision="fp8"), "precision 'fp8': must be auto, .*bf16, .*fp32, .*fp64"),
        (dict(device="abacus"), "device 'abacus': must be auto, cpu"),
        (dict(device="meta"), "device 'meta': must be auto, cpu"),
        (dict(device="cuda:99"), "cuda:99: .* CUDA devices are here"),
        (dict(strand="minus"), r"strand 'minus': must be one of \+, -, both"),
        (dict(stride=12), "stride 12: must be a power of two"),
    ],
    ids=["backend", "precision", "device", "device-of-torch", "no-such-gpu", "strand", "stride"],
)
def test_what_cannot_run_raises(make_model, options, word):
    with pytest.raises(TcnfastError, match=word) as info:
        Plan(make_model(), **{"device": "cpu", **options})
    assert "\n" not in str(info.value)


def stub(name, reason=None):
    """A backend that cannot run."""
    return backends.Implementation(name, lambda spec: reason, ("cpu", "cuda", "mps"))


def zeros(weights, grid, spec):
    return lambda codes: torch.zeros(
        len(codes), grid.n_scores(codes.shape[1]), len(weights.head_bias)
    )


@pytest.fixture
def stubs(monkeypatch):
    """Three backends: one that cannot run, one that gives zeros, and the reference."""
    monkeypatch.delenv("TCNFAST_BACKEND", raising=False)
    ways = (stub("quantum", "there is no qubit here"), stub("zeros"), stub("reference"))
    monkeypatch.setattr(backends, "SCAN", backends.Task("scan", ways))
    monkeypatch.setitem(plans.PREPARE, "zeros", zeros)
    monkeypatch.setitem(plans.SEGMENT_BASES, "zeros", 2**10)


def test_auto_takes_the_first_that_can(stubs, make_model, make_codes):
    plan = Plan(make_model(), device="cpu")
    assert plan.backend == "zeros" and not plan(make_codes(100)).any()


def test_a_backend_by_name_runs_or_raises(stubs, make_model):
    assert Plan(make_model(), device="cpu", backend="reference").backend == "reference"
    with pytest.raises(TcnfastError, match="backend quantum cannot run: there is no qubit here"):
        Plan(make_model(), device="cpu", backend="quantum")


def test_the_environment_stands_in_for_auto(stubs, make_model, monkeypatch):
    monkeypatch.setenv("TCNFAST_BACKEND", "reference")
    assert Plan(make_model(), device="cpu").backend == "reference"
    assert Plan(make_model(), device="cpu", backend="zeros").backend == "zeros"
    monkeypatch.setenv("TCNFAST_BACKEND", "quantum")
    with pytest.raises(TcnfastError, match="no qubit"):
        Plan(make_model(), device="cpu")
    monkeypatch.setenv("TCNFAST_BACKEND", "quantun")
    with pytest.raises(TcnfastError, match="'quantun' is not in this build; .*quantum, zero"):
        Plan(make_model(), device="cpu")


def test_every_reason_is_given(stubs, make_model, monkeypatch):
    ways = stub("a", "it rains"), stub("b", "it snows")
    monkeypatch.setattr(backends, "SCAN", backends.Task("scan", ways))
    with pytest.raises(TcnfastError, match="a cannot run: it rains; backend b cannot run: it snow"):
        Plan(make_model(), device="cpu")


def test_what_is_no_model_and_no_codes_says_what_to_give():
    with pytest.raises(TcnfastError, match="plan of 3: give a model, a model folder, or the name"):
        Plan(3)
    with pytest.raises(TcnfastError, match=r"nor a bundled model .* did you mean encode-v1"):
        Plan("encode-w1")
    with pytest.raises(TcnfastError, match="plan input: give codes, tcnfast.encode"):
        Plan(random_model(), device="cpu")("ACGT" * 100)
