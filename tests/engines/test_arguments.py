"""Arguments of the C++ engine and the kernels go by name: one misspelt or left out is named."""

import ast
from pathlib import Path

import pytest
import torch
from support.engine import needs_engine

from tcnfast.engines import cpu_blocks, cpu_engine, ops
from tcnfast.engines.block_call import BlockCall, BlockGradients, BlockOutputs

ENGINES = Path(cpu_engine.__file__).parent


def call_of(codes):
    """A block with batch norms, on codes or on rows, and what it gives."""
    vector, x = torch.ones(5), torch.zeros(2, 20, dtype=torch.uint8)
    if not codes:
        x = torch.randn(2, 20, cpu_blocks.padded_channels(5, "fp32"))
    weights = torch.randn(5, 4 if codes else 5, 3), torch.randn(5, 5, 3)
    norms, masks = (vector,) * 4, (torch.ones(2, 5),) * 2
    residual = torch.zeros(5, 5) if codes else None
    call = BlockCall(x, *weights, *norms, *masks, residual, 1, 1, 2, 1e-5, "fp32")
    return call, BlockOutputs(*ops.block(*vars(call).values()))


@pytest.fixture
def native(monkeypatch):
    """native(name): make Python forget to set ``name``."""
    real = cpu_engine._C.BlockArguments

    def forget(name):
        class Forgetful(real):
            def __setattr__(self, key, value):
                if key != name:
                    super().__setattr__(key, value)

        monkeypatch.setattr(cpu_engine._C, "BlockArguments", Forgetful)

    return forget


SIZES = ("length", "channels", "taps1", "taps2", "dilation", "stride")
EITHER = ("weight1", "weight2", "gain1", "gain2", "shift1", "shift2", "y", "a2", "mean1", "var2")


@needs_engine
@pytest.mark.parametrize(
    "codes, name",
    [(codes, name) for codes in (True, False) for name in (*SIZES, *EITHER)]
    + [(True, "code_input"), (True, "code_residual"), (False, "x"), (False, "a1")],
)
def test_what_is_left_out_of_a_block_is_named_before_any_work(native, codes, name):
    call, outputs = call_of(codes)
    for output in outputs:
        output.fill_(7)
    native(name)
    with pytest.raises(ValueError, match=f"^block: {name} is not set$"):
        cpu_blocks.forward(call, outputs)
    assert all((output == 7).all() for output in outputs)


@needs_engine
@pytest.mark.parametrize("codes", [True, False], ids=["codes", "rows"])
def test_what_is_left_out_of_a_backward_pass_is_named(native, codes):
    call, outputs = call_of(codes)
    gradients = [g if g.numel() else None for g in ops.empty_gradients(call)]
    wanted = [
        name for name, g in zip(BlockGradients._fields, gradients, strict=False) if g is not None
    ]
    assert len(wanted) == 7
    for name in ("dy", "workspace", *wanted):
        native(name)
        with pytest.raises(ValueError, match=f"^block: {name} is not set$"):
            cpu_blocks.backward(outputs.y, call, outputs, BlockGradients(*gradients))


@needs_engine
def test_a_misspelt_name_raises():
    arguments = cpu_engine._C.BlockArguments()
    with pytest.raises(AttributeError, match="wieght1"):
        arguments.wieght1 = 1
    known = {*arguments.SIZES, *arguments.ADDRESSES}
    ours = {*BlockCall.__dataclass_fields__, *BlockOutputs._fields, *BlockGradients._fields}
    ours |= {name for name, value in vars(BlockCall).items() if isinstance(value, property)}
    assert known - ours == {"code_input", "dy", "workspace"}


@needs_engine
@pytest.mark.parametrize("change", ["misspelt", "missing"])
@pytest.mark.parametrize("name", ["BlockParams", "StackParams"])
def test_parameters_of_a_stack_are_taken_by_name(monkeypatch, make_model, name, change):
    real = getattr(cpu_engine._C, name)

    def spoilt(**options):
        value = options.pop("stride")
        return real(**options, **({"strid": value} if change == "misspelt" else {}))

    monkeypatch.setattr(cpu_engine._C, name, spoilt)
    model = make_model()
    with pytest.raises(TypeError, match="incompatible"):
        cpu_engine.pack(model.folded(), model.config.grid(4), "fp32")


def test_kernels_are_launched_by_the_names_of_their_arguments():
    trees = [ast.parse(file.read_text()) for file in sorted(ENGINES.glob("triton_*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    launches = [call for call in calls if isinstance(call.func, ast.Subscript)]
    assert len(launches) >= 16
    assert not any(launch.args for launch in launches)
