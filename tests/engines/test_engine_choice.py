"""Which instruction set, precision and backend run, and why others do not."""

import numpy as np
import pytest
import torch
from support.engine import ISAS, needs_engine

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import backend as backends
from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import BF16_ISAS, ISA_VARIABLE
from tcnfast.engines.plan import Plan

ORDER = ["amx", "avx512_bf16", "avx512", "avx2", "generic"]


@pytest.fixture(autouse=True)
def nothing_forced(monkeypatch):
    monkeypatch.delenv(ISA_VARIABLE, raising=False)
    monkeypatch.delenv("TCNFAST_BACKEND", raising=False)


def cpu_plan(model, **options):
    return Plan(model, device="cpu", **options)


@needs_engine
def test_instruction_sets_come_best_first_and_generic_always_runs():
    known = list(cpu_engine.isas())
    assert known == [name for name in ORDER if name in known]
    assert cpu_engine.isas()["generic"] is None


@needs_engine
def test_the_best_instruction_set_is_taken():
    assert cpu_engine.isa() == ISAS[0]
    assert all(reason for name, reason in cpu_engine.isas().items() if name not in ISAS)


@needs_engine
@pytest.mark.parametrize("isa", ISAS)
def test_the_environment_makes_it_a_lesser_one(monkeypatch, isa):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    assert cpu_engine.isa() == isa


@needs_engine
@pytest.mark.parametrize("name", ["avx1024", "AVX2", " generic"])
@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_an_unknown_instruction_set_raises(monkeypatch, make_model, backend, name):
    monkeypatch.setenv(ISA_VARIABLE, name)
    known = ", ".join(cpu_engine.isas())
    with pytest.raises(TcnfastError, match=f"^{ISA_VARIABLE}={name}: must be one of {known}$"):
        cpu_plan(make_model(), backend=backend)


@needs_engine
@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_an_instruction_set_that_is_not_here_raises(monkeypatch, make_model, backend):
    here = [*cpu_engine._C.isas()]
    lacking = [
        ("amx", "this processor does not have it"),
        *[pair for pair in here if "amx" not in pair],
    ]
    monkeypatch.setattr(cpu_engine._C, "isas", lambda: lacking)
    monkeypatch.setenv(ISA_VARIABLE, "amx")
    with pytest.raises(
        TcnfastError, match=f"^{ISA_VARIABLE}=amx: this processor does not have it$"
    ):
        cpu_plan(make_model(), backend=backend)


@needs_engine
@pytest.mark.parametrize("isa", [isa for isa in ORDER if isa not in ISAS])
def test_what_this_processor_lacks_raises_with_the_reason(monkeypatch, make_model, isa):
    if isa not in cpu_engine.isas():
        pytest.skip(f"{isa} belongs to another architecture")
    monkeypatch.setenv(ISA_VARIABLE, isa)
    with pytest.raises(
        TcnfastError, match=f"={isa}: (this processor does not|the compiler|the sys)"
    ):
        cpu_plan(make_model())
    with pytest.raises(ValueError, match=isa):  # and if Python did not look
        cpu_engine._C.peak(isa=isa, precision="fp32", seconds=0, threads=1)


@needs_engine
@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa not in BF16_ISAS])
def test_bf16_where_nothing_multiplies_it(monkeypatch, make_model, isa):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    reason = rf"{isa} has no bf16 products \(AMX and AVX512-BF16 have\); fp32 runs"
    with pytest.raises(TcnfastError, match=f"^backend cpu cannot run: {reason}$"):
        cpu_plan(make_model(), backend="cpu", precision="bf16")
    for backend in ("cpu", "auto"):
        plan = cpu_plan(make_model(), backend=backend)
        assert (plan.backend, plan.precision, plan.passed_over) == ("cpu", "fp32", [])
    plan = cpu_plan(make_model(), precision="bf16")
    assert (plan.backend, plan.precision) == ("reference", "bf16")
    assert len(plan.passed_over) == 1 and plan.passed_over[0].startswith("backend cpu cannot run")
    assert isa in plan.passed_over[0]


@needs_engine
@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa in BF16_ISAS])
def test_bf16_is_taken_where_it_is_multiplied(monkeypatch, make_model, isa):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    plan = cpu_plan(make_model())
    assert (plan.backend, plan.precision, plan.passed_over) == ("cpu", "bf16", [])
    plan = cpu_plan(make_model(), precision="fp32")
    assert (plan.backend, plan.precision) == ("cpu", "fp32")


@needs_engine
def test_fp64_is_for_the_reference(make_model):
    plan = cpu_plan(make_model(), precision="fp64")
    assert (plan.backend, plan.precision) == ("reference", "fp64")
    assert plan.passed_over == ["backend cpu cannot run: it computes in fp32 and bf16, not fp64"]
    with pytest.raises(TcnfastError, match="it computes in fp32 and bf16, not fp64"):
        cpu_plan(make_model(), backend="cpu", precision="fp64")


def test_the_engine_is_for_the_processor():
    with pytest.raises(TcnfastError, match="it runs on the processor, not on cuda:0"):
        backends.choose(backends.SCAN, "cpu", torch.device("cuda:0"), "fp32")


@needs_engine
def test_the_environment_is_read_when_a_plan_is_made(monkeypatch, make_model, make_codes):
    plan = cpu_plan(make_model(), precision="fp32", backend="cpu")
    codes = make_codes(2, 121)
    want = plan(codes)
    monkeypatch.setenv(ISA_VARIABLE, "nothing")
    assert torch.equal(plan(codes), want)


@pytest.fixture
def not_built(monkeypatch):
    monkeypatch.setattr(cpu_engine, "_C", None)
    monkeypatch.setattr(cpu_engine, "_IMPORT_ERROR", ImportError("no _C here"), raising=False)


@pytest.mark.parametrize("forced", [None, "avx2", "nonsense"])
def test_without_the_engine_auto_takes_the_reference_and_says_why(
    not_built, monkeypatch, make_model, forced
):
    if forced:
        monkeypatch.setenv(ISA_VARIABLE, forced)
    plan = cpu_plan(make_model(), stride=4)
    assert plan.backend == "reference"
    assert plan.passed_over == [
        "backend cpu cannot run: the C++ engine is not built (no _C here); install again with a "
        "C++17 compiler"
    ]
    assert plan(np.zeros(121, np.uint8)).shape == (16, 3)


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_without_the_engine_asking_for_it_raises(not_built, make_model, precision):
    with pytest.raises(TcnfastError, match=r"^backend cpu cannot run: .* not built \(no _C here\)"):
        cpu_plan(make_model(), backend="cpu", precision=precision)
    assert cpu_engine.isas() == {}
