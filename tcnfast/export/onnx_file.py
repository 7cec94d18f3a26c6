"""Folded stacks as an ONNX graph, node by node as ``engines/reference.py`` computes them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..base.extras import install
from ..base.options import Run
from ..base.output_file import output_file
from ..base.tables import replace_file
from ..base.talk import count
from ..base.verb import File
from ..engines.grid import BlockGrid
from ..engines.reference import N_CODES, BlockWeights
from ..engines.strands import Counted, stacks_of
from ..model.ensemble import Ensemble
from ..model.load_model import load_model
from ..model.tcn import TCN
from . import ExportOptions

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8  # of 2022: all that the graph needs, and read by every later runtime
LENGTH = 2  # axis of (N, C, L)

log = logging.getLogger(__name__)


def write_onnx(model: TCN | Ensemble | File, out: File, options: ExportOptions, run: Run) -> Path:
    """See :func:`tcnfast.export`."""
    network = model if isinstance(model, (TCN, Ensemble)) else load_model(Path(model))
    try:
        import onnx
    except ImportError:
        raise TcnfastError(f"onnx is not installed: {install('export')}") from None
    path = output_file(Path(out), run.force)
    graph = onnx_model(network, options.stride, options.strand)
    onnx.checker.check_model(graph, full_check=True)
    replace_file(path, graph.SerializeToString())
    log.info("%s scores %s every %d bp", path, count(len(network.labels), "label"), options.stride)
    return path


def onnx_model(model: TCN | Ensemble, stride: int, strand: str) -> onnx.ModelProto:
    """The graph of ``strand``, "+", "-" or "both" (the mean of their logits), in fp32."""
    from onnx import TensorProto, helper

    folded = ((x.folded(), x.config.grid(stride)) for x in model.members)
    stacks = stacks_of(folded, strand)
    graph = Graph()
    with torch.no_grad():
        graph.score(stacks)
    sizes = ["batch", "steps", len(model.labels)]
    made = helper.make_graph(
        graph.nodes,
        "tcnfast",
        [helper.make_tensor_value_info("codes", TensorProto.UINT8, ["batch", "bases"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, sizes)],
        graph.constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    whole = helper.make_model(
        made, producer_name="tcnfast", opset_imports=opset, ir_version=IR_VERSION
    )
    about = {
        "labels": "\n".join(model.labels),
        "receptive_field": str(model.receptive_field),
        "stride": str(stride),
        "strand": strand,
    }
    helper.set_model_props(whole, about)
    return whole


class Graph:
    """Nodes and constants so far; every method adds some and returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def score(self, stacks: Sequence[Counted]) -> None:
        """codes (N, L) -> logits (N, P, labels)."""
        table = self.constant(np.eye(N_CODES, 4, dtype=np.float32))
        codes = self.node("Cast", ["codes"], to=6)  # int32: of letters of the table
        letters = self.node("Transpose", [self.node("Gather", [table, codes])], perm=[0, 2, 1])
        total = sum(stack.count for stack in stacks)
        parts = [self.stack(letters, stack, stack.count / total) for stack in stacks]
        self.node("Sum", parts, name="logits")

    def stack(self, letters: str, stack: Counted, share: float) -> str:
        """One-hot letters (N, 4, L) -> ``share`` of the logits of a stack."""
        weights, x = stack.weights, letters
        for block, grid in zip(weights.blocks, stack.grid.blocks, strict=True):
            x = self.block(x, block, grid)
        if stack.grid.sample > 1:
            x = self.every(x, 0, sys.maxsize, stack.grid.sample)
        rows = self.node("Transpose", [x], perm=[0, 2, 1])
        head = self.node("MatMul", [rows, self.constant(weights.head_weight.T)])
        logits = self.node("Add", [head, self.constant(weights.head_bias)])
        if share == 1:
            return logits
        return self.node("Mul", [logits, self.constant(np.float32(share))])

    def block(self, x: str, weights: BlockWeights, grid: BlockGrid) -> str:
        """See :func:`tcnfast.engines.reference.block`; (N, C_in, L) -> (N, C, L')."""
        h = self.conv(x, weights.weight1, weights.bias1, grid.dilation)
        h = self.conv(h, weights.weight2, weights.bias2, grid.dilation, grid.stride)
        # as many as the block has outputs, whatever the length: its end leaves out what lies behind
        # the tap of the last window
        start = weights.tap // grid.grid_in
        behind = grid.span // grid.grid_in - start
        shortcut = self.every(x, start, -behind or sys.maxsize, grid.stride)
        if weights.residual is not None:
            weight, bias = weights.residual
            shortcut = self.conv(shortcut, weight.unsqueeze(-1), bias, relu=False)
        return self.node("Relu", [self.node("Add", [h, shortcut])])

    def conv(
        self,
        x: str,
        weight: Tensor,
        bias: Tensor,
        dilation: int = 1,
        stride: int = 1,
        relu: bool = True,
    ) -> str:
        inputs = [x, self.constant(weight), self.constant(bias)]
        made = self.node("Conv", inputs, dilations=[dilation], strides=[stride])
        return self.node("Relu", [made]) if relu else made

    def every(self, x: str, start: int, end: int, step: int) -> str:
        """Positions of (N, C, L): every ``step``-th of [start, end)."""
        if (start, end, step) == (0, sys.maxsize, 1):
            return x
        ends = (self.constant(np.array([value], np.int64)) for value in (start, end, LENGTH, step))
        return self.node("Slice", [x, *ends])

    def node(self, kind: str, inputs: list[str], name: str | None = None, **about: Any) -> str:
        from onnx import helper

        name = name or f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **about))
        return name

    def constant(self, value: Tensor | np.ndarray | np.float32) -> str:
        from onnx import numpy_helper

        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
