"""What a GPU is asked for, without one: kernels and PyTorch operators in the order of their calls.

The engine runs on tensors without memory ("meta"), as on a chip with 132 multiprocessors. A Triton
kernel comes with its arguments; of an operator the bytes count that it reads and writes, each once,
and views are none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tcnfast.engines import backend, ops, training_pass, triton_engine
from tcnfast.engines.plan import Plan
from tcnfast.engines.triton_head import ROWS
from tcnfast.model.tcn import TCN, TCNConfig
from tcnfast.scan.compact import CompactDevice
from tcnfast.scan.pieces import Batch, Wanted, Window
from tcnfast.scan.stages import Stages
from tcnfast.train.losses import masked_bce

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from support.ahead import recorded  # noqa: E402

META = torch.device("meta")
LABELS = 119  # of the bundled network
CHANNELS, TAPS = 64, 15
# operators that launch nothing, beside views
FREE = ("empty", "detach", "alias", "lift_fresh", "_unsafe_view", "record_stream", "resize_")
HITS = 2**-9  # of all logits: what a scan with cutoffs finds at most
HIT_TILES = {1: 1 / 8, 32: 1 / 2}  # by stride: of tiles of 64 steps, how many have one


@dataclass
class Kernel:
    """A launch of a Triton kernel."""

    function: object
    arguments: dict
    options: dict
    grid: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def programs(self) -> int:
        return int(np.prod(self.grid))

    @property
    def bytes(self) -> int:
        return _bytes(self.arguments.values())


@dataclass
class Operator:
    """A call of an operator of PyTorch that launches something."""

    name: str
    bytes: int


class _Operators(TorchDispatchMode):
    """Notes operators; runs the block's operators by their kernels, not by their fakes, and gives
    results of known size where meta tensors have none."""

    def __init__(self, seen: list, hit_tiles: float) -> None:
        super().__init__()
        self.seen, self.hit_tiles = seen, hit_tiles

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        own = {"tcnfast::block": ops.block, "tcnfast::block_backward": ops.block_backward}
        if name in own:
            with self:
                return own[name]._init_fn(*args, **(kwargs or {}))
        if name == "aten::nonzero":
            found = max(1, int(args[0].numel() * self.hit_tiles))
            result = torch.empty(found, args[0].ndim, dtype=torch.int64, device=META)
        elif name in (
            "aten::item",
            "aten::_local_scalar_dense",
        ):  # the last sum of the counts of hits
            result = self.hits
        elif name == "aten::equal":  # heads of two strands
            return True
        else:
            if name == "aten::cumsum":
                self.hits = max(1, int(args[0].numel() * ROWS * LABELS * HITS))
            result = function(*args, **(kwargs or {}))
        returned = function._schema.returns
        view = any(r.alias_info and not r.alias_info.is_write for r in returned)
        name = name.removeprefix("aten::")
        if not view and not name.startswith(FREE):
            self.seen.append(Operator(name, _moved(name, (args, kwargs), result)))
        return result


def _moved(name: str, arguments, result) -> int:
    """Bytes that an operator reads and writes; one in place does both."""
    read, written = (_bytes(tree_leaves(values)) for values in (arguments, result))
    if name == "copy_":  # its target is only written
        return read
    if name == "index":  # of what it reads, as much as it gives
        return read - _bytes(tree_leaves(arguments)[:1]) + 2 * written
    return read + written


def _bytes(values) -> int:
    """Of tensors, each once; views of one memory at their own sizes."""
    tensors = {id(v): v for v in values if isinstance(v, Tensor) and v.device == META}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def _kernel(function, arguments: dict, options: dict, grid: tuple[int, ...]) -> Kernel:
    """Of tensors other objects of the same memory: a gradient that is held elsewhere would be
    copied by autograd, which without us takes it."""
    tensors = {id(v): v.detach() for v in arguments.values() if isinstance(v, Tensor)}
    arguments = {name: tensors.get(id(v), v) for name, v in arguments.items()}
    return Kernel(function, arguments, options, grid)


@contextmanager
def noted(hit_tiles: float = 1.0) -> Iterator[list[Kernel | Operator]]:
    """The launches of what runs inside, in bf16. ``hit_tiles``: of tiles of steps, those with a
    hit."""
    seen: list = []
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(recorded("sm_90", lambda *launch: seen.append(_kernel(*launch))))
        enter(mock.patch.object(triton_engine, "why_not_here", lambda *_: None))
        enter(mock.patch.object(backend, "choose_device", lambda _: META))
        enter(mock.patch.object(training_pass, "precision_now", lambda _: "bf16"))
        enter(mock.patch.dict("os.environ", {backend.VARIABLE: "triton"}))
        enter(_Operators(seen, hit_tiles))
        yield seen


def _network(symmetric: bool, labels: int = LABELS, **options) -> TCN:
    names = [f"label{i}" for i in range(labels)]
    symmetric = {"symmetric": True} if symmetric else {}
    config = TCNConfig(labels=names, channels=CHANNELS, first_kernel=TAPS, **symmetric, **options)
    return TCN(config)


class _Member:
    """A network that is folded without memory. As if symmetric: its weights then are pairs'."""

    def __init__(self, symmetric: bool) -> None:
        model = _network(False).eval()
        self.config, self.receptive_field = model.config, model.receptive_field
        self.labels, self.members = model.config.labels, [self]
        weights = model.folded().to(torch.device("cpu"), torch.float32)
        self._weights = replace(weights, symmetric=symmetric)

    def folded(self):
        return self._weights


class _Scorer:
    """As ``scan.pipeline.Scorer`` with both strands."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.plans, self.label_bin = plan, [plan], 200

    def scores(self, codes: Tensor) -> Tensor:
        return self.plan(codes)


def segment(stride: int, symmetric: bool) -> tuple[list[Kernel | Operator], int]:
    """What a scan launches for one segment, both strands, hits of all labels and no tracks; and the
    bases that the segment scores."""
    member = _Member(symmetric)
    nothing = np.empty(0)
    cutoffs = np.zeros(LABELS, np.float32)
    window = Window(stride, member.receptive_field, 200)
    with noted(HIT_TILES[stride]) as seen, torch.inference_mode():
        scorer = _Scorer(Plan(member, precision="bf16", stride=stride, strand="both"))
        device = CompactDevice(scorer, Wanted(cutoffs, nothing, nothing), window, Stages())
        bases = device.segment_bases(scorer.plan.segment_bases, LABELS)
        steps = bases // stride
        codes, unknown, slot = device.buffers(1, window.length(steps), steps)
        seen.clear()  # of making ready
        on_host = {"_segment": lambda *_: None, "_check": lambda *_: None}
        with mock.patch.multiple(CompactDevice, **on_host):
            device.collect(device.submit(Batch([0], codes, unknown, slot)))
    return seen, bases


def training_step(tiles: int, steps: int, symmetric: bool) -> list[Kernel | Operator]:
    """A step at stride 32: forward, masked BCE, backward, clipped AdamW. ``steps`` of a tile."""
    stride = 32
    model = _network(symmetric, dropout=0.1).to(META)
    model.train()
    length = model.receptive_field + (steps - 1) * stride
    codes = torch.empty(tiles, length, dtype=torch.uint8, device=META)
    targets = torch.empty(tiles, steps, LABELS, dtype=torch.uint8, device=META)
    with noted() as seen:
        loss = masked_bce(model.dense(codes, stride).float(), targets)
        loss.backward()
        # on a GPU: gradients clipped by kernels that take lists, and a fused AdamW for each of two
        # groups (reads value, gradient and two moments, writes three)
        size = sum(p.numel() for p in model.parameters()) * 4
        names = {"_foreach_norm": 1, "stack": 0, "linalg_vector_norm": 0, "_foreach_mul_": 2}
        seen += [Operator(name, times * size) for name, times in names.items()]
        seen += [Operator("_fused_adamw_", 7 * size // 2)] * 2
    return seen
