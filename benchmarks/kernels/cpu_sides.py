"""Sides of kernels/cpu.py: ways to get the same scores of the same bases, ours and those of others,
and the fastest of the others for kernels/both_strands.py.

Everybody starts from uint8 codes in memory and gets the norms folded. Forms: "dense" scores every
base, "pruned" every 32nd on pruned grids, "sampled" is the dense network with every 32nd score kept
and "windows" the dense network on one window for every score.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from unittest import mock

import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor

from benchmarks.harness import PROCESSOR
from tcnfast.engines import cpu_engine
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.plain_stack import LAYOUTS, FoldedStack
from tcnfast.engines.plan import Plan
from tcnfast.engines.reference import StackWeights
from tcnfast.model.tcn import TCN, TCNConfig

STRIDE = 32
WINDOWS = 256  # of a batch, where windows are evaluated one by one
SEGMENTS = tuple(2**k for k in range(13, 18))  # long ones fall out of the cache, short overlap
NEEDS = {"zentorch": ("zentorch",)} | {x: ("onnx", x) for x in ("onnxruntime", "openvino")}
TRIED = (2**13, 2**14, 2**15, 2**16)  # of fastest_other
COMPILED = 2**14  # there, of torch.compile, which takes long for each
UNIT = 2**16  # our sides take any length, in multiples of this


@dataclass
class Side:
    """``make(segment)`` gives what maps codes (1, segment + RF - stride) to logits (1, P, labels);
    longer inputs go by segments."""

    name: str
    form: str
    precision: str
    make: Callable[[int], Callable[[Tensor], Tensor]]
    isa: str | None = None  # of ours, None for others
    segments: tuple[int, ...] = (UNIT,)  # lengths to pick the fastest of
    twin: str | None = None  # takes the segment of the side of this key: making one costs much
    whole: bool = False  # takes codes (T,) of any length, not (1, T) of a segment

    @property
    def stride(self) -> int:
        return 1 if self.form == "dense" else STRIDE

    @property
    def key(self) -> str:
        return f"{self.form} {self.name} {self.precision}"


def folded(model: TCN, form: str, layout: str, precision: str) -> FoldedStack:
    grid = model.config.grid(STRIDE if form == "pruned" else 1)
    sample = STRIDE if form == "sampled" else None
    return FoldedStack(model.folded(), grid, layout, DTYPES[precision], sample)


def ours(model: TCN, form: str, isa: str, precision: str) -> Side:
    def make(_):
        with mock.patch.dict(os.environ, {cpu_engine.ISA_VARIABLE: isa}):
            stride = STRIDE if form == "pruned" else 1
            return Plan(model, "cpu", precision, stride, backend="cpu")

    return Side(f"tcnfast {isa}", form, precision, make, isa=isa, whole=True)


def eager(model: TCN, form: str, layout: str, precision: str) -> Side:
    stack = folded(model, form, layout, precision)
    return Side(f"eager {layout}", form, precision, lambda _: stack, segments=SEGMENTS)


def windows(model: TCN, layout: str, precision: str) -> Side:
    """Every window by itself, in batches, as a loop over BED intervals does."""
    stack = folded(model, "dense", layout, precision)

    def run(codes):
        batches = codes[0].unfold(0, model.receptive_field, STRIDE).split(WINDOWS)
        return torch.cat([stack(batch.contiguous()) for batch in batches]).transpose(0, 1)

    name = f"eager {layout}"
    return Side(name, "windows", precision, lambda _: run, segments=(WINDOWS * STRIDE,))


def compiled(model: TCN, form: str, layout: str, precision: str, backend: str) -> Side:
    """By torch.compile: "inductor" is PyTorch's own, "zentorch" AMD's plugin."""
    # every side is one more version of the same forward()
    torch._dynamo.config.recompile_limit = 64
    # weights become constants, packed ahead for oneDNN
    torch._inductor.config.freezing = True

    def make(_):
        if backend == "zentorch":
            import zentorch  # noqa: F401  # which makes the backend known
        stack = folded(model, form, layout, precision)
        return torch.compile(stack, backend=backend, dynamic=False, fullgraph=True)

    twin = f"{form} eager {layout} {precision}"
    name = "torch.compile" if backend == "inductor" else backend
    return Side(f"{name} {layout}", form, precision, make, twin=twin)


def onnx(model: TCN, form: str, layout: str, length: int) -> bytes:
    """The fp32 stack from codes (1, length) on."""
    buffer = io.BytesIO()
    codes = torch.zeros(1, length, dtype=torch.uint8)
    stack = folded(model, form, layout, "fp32")
    torch.onnx.export(stack, (codes,), buffer, dynamo=False, input_names=["codes"])
    return buffer.getvalue()


def onnxruntime(model: TCN, form: str, layout: str) -> Side:
    """In fp32: on x86 its convolutions take no other floats."""

    def make(segment):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        length = segment + model.receptive_field - (STRIDE if form == "pruned" else 1)
        session = onnxruntime.InferenceSession(
            onnx(model, form, layout, length), options, providers=["CPUExecutionProvider"]
        )
        return lambda codes: torch.from_numpy(session.run(None, {"codes": codes.numpy()})[0])

    return Side(f"onnxruntime {layout}", form, "fp32", make, segments=SEGMENTS)


def openvino(model: TCN, form: str, precision: str, streams: bool) -> Side:
    """One segment on all threads, or with ``streams`` a segment on each thread at once. It picks
    its layouts itself, so it gets but one. Says what precision it took."""

    def make(segment):
        import openvino

        threads = torch.get_num_threads()
        stride = STRIDE if form == "pruned" else 1
        overlap = model.receptive_field - stride
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads if streams else 1,
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "ENABLE_CPU_PINNING": False,  # it would outlive the run
        }
        core = openvino.Core()
        file = onnx(model, form, "channels-last", segment + overlap)
        network = core.compile_model(core.read_model(file, b""), "CPU", options)
        if not streams:
            return lambda codes: torch.from_numpy(network(codes.numpy())[0].copy())

        def run(codes):
            out = torch.empty((len(codes) - overlap) // stride, len(model.labels))
            queue = openvino.AsyncInferQueue(network, threads)
            queue.set_callback(lambda request, part: part.copy_(tensor_of(request)))
            pieces = codes.unfold(0, segment + overlap, segment).unsqueeze(1).numpy()
            for part, piece in zip(out.split(segment // stride), pieces, strict=True):
                queue.start_async({0: piece}, part)
            queue.wait_all()
            return out

        return run

    def tensor_of(request):
        return torch.from_numpy(request.get_output_tensor(0).data)[0]

    name = "openvino streams" if streams else "openvino"
    return Side(name, form, precision, make, segments=SEGMENTS, whole=streams)


def our_runs(every: bool) -> list[tuple[str, str]]:
    """Instruction set and precision of ours: the best of each precision, or each there is."""
    here = [name for name, reason in cpu_engine.isas().items() if reason is None]
    fp32 = [(isa, "fp32") for isa in ("avx512", "avx2") if isa in here] or [(here[0], "fp32")]
    bf16 = [(isa, "bf16") for isa in cpu_engine.BF16_ISAS if isa in here]
    return fp32 + bf16 if every else fp32[:1] + bf16[:1]


def all_sides(model: TCN, everybody: bool) -> list[Side]:
    """Ours against eager PyTorch, or against everybody."""
    sides = []
    for form in ("dense", "pruned"):
        sides += [ours(model, form, *run) for run in our_runs(everybody)]
        for layout in LAYOUTS:
            for precision in ("fp32", "bf16"):
                sides.append(eager(model, form, layout, precision))
                if everybody:
                    both = ("inductor", "zentorch")
                    sides += [compiled(model, form, layout, precision, name) for name in both]
            if everybody:
                sides.append(onnxruntime(model, form, layout))
        if everybody:
            for precision in ("fp32", "bf16"):
                sides += [openvino(model, form, precision, streams) for streams in (False, True)]
    sides.append(eager(model, "sampled", "Conv1d", "fp32"))
    if everybody:
        sides.append(windows(model, "Conv1d", "fp32"))
        sides.append(windows(model, "channels-last", "bf16"))
    return sides


def missing(side: Side) -> str | None:
    """The library that a side lacks."""
    wanted = NEEDS.get(side.name.split()[0], ())
    return next((name for name in wanted if find_spec(name) is None), None)


def scorer(model, side: Side, segment: int):
    """What maps any number of segments, codes (T,), to logits (P, labels)."""
    run, overlap = side.make(segment), model.receptive_field - side.stride
    if side.whole:
        return run
    return lambda codes: torch.cat(
        [run(piece.unsqueeze(0))[0] for piece in codes.unfold(0, segment + overlap, segment)]
    )


def where_time_goes(model: TCN, side: Side, codes: Tensor) -> dict[str, float]:
    """Shares of all threads' time in the parts of the engine, for one of our sides."""
    with mock.patch.dict(os.environ, {cpu_engine.ISA_VARIABLE: side.isa}):
        stack = cpu_engine.pack(model.folded(), model.config.grid(side.stride), side.precision)
    codes = codes[: UNIT + model.receptive_field - side.stride]
    out = torch.empty(UNIT // side.stride, len(model.labels))
    threads = torch.get_num_threads()
    call = codes.data_ptr(), 1, len(codes), out.data_ptr(), threads
    stack.score(*call)
    stack.seconds()
    start = perf_counter()
    for _ in range(3):
        stack.score(*call)
    spent = (perf_counter() - start) * threads
    return {part: seconds / spent for part, seconds in stack.seconds().items()}


@dataclass(frozen=True)
class Network:
    """Folded weights where a side asks for a model."""

    config: TCNConfig
    weights: StackWeights

    def folded(self) -> StackWeights:
        return self.weights

    @property
    def receptive_field(self) -> int:
        return self.config.receptive_field

    @property
    def labels(self) -> list[str]:
        return self.config.labels


@dataclass(frozen=True)
class Other:
    """A runtime and the length of its segments."""

    key: str
    segment: int

    def scorer(self, network: Network) -> Callable[[Tensor], Tensor]:
        """Codes (T,) to logits (P, labels)."""
        (side,) = (side for side in sides_of(network) if side.key == self.key)
        return scorer(network, side, self.segment)


def sides_of(network: Network) -> list[Side]:
    return [side for side in all_sides(network, everybody=True) if side.isa is None]


def fastest_other(network: Network, form: str, precision: str, codes: Tensor) -> Other:
    """Of those that are installed, on codes (T,), by their processor time; prints all."""
    times = {}
    for side in sides_of(network):
        if (side.form, side.precision) != (form, precision):
            continue
        if library := missing(side):
            print(f"left out: {side.key}: {library} is not installed")
            continue
        bases = len(codes) - network.receptive_field + side.stride
        for segment in (COMPILED,) if side.twin else TRIED:
            if segment > bases:
                continue
            score = partial(scorer(network, side, segment), codes)
            score()
            times[side.key, segment] = min(PROCESSOR.called(score) for _ in range(2))
    for (key, segment), seconds in sorted(times.items(), key=lambda item: item[1])[:6]:
        print(f"{key}, segments of {segment}: {seconds:.4g} s")
    return Other(*min(times, key=times.get))
