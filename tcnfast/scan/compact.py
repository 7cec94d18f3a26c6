"""A device of its own (a GPU): batches go up in one copy, and only hits and tracks come back.

Three CUDA streams: one copies, one computes, one compacts and copies back, so that while a batch is
scored the next is on its way up and the hits of the one before are on their way down. On another
device the same operations run one after the other, which is how they are tested.

No CUDA graphs: a segment of 8 Mb on both strands is about 50 launches, at 5 us each 0.25 ms of a
thread that waits for nothing, beside some 4 ms of the network on an H200 (by arithmetic: 0.42 PFLOP
for 3.1 Gb, at 300 TFLOP/s); graphs would pay below half a megabase.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..base.errors import TcnfastError
from ..base.finite import check_scores
from ..base.options import setting
from .device_scores import scores_of
from .pieces import Batch, CompactSegment, Wanted, Window
from .stages import Stages

log = logging.getLogger(__name__)

PROBE_BASES = 2**18  # scored to see what memory a base takes
SHARE = 0.4  # of the free memory for a batch: its successor and its logits want some too
MOST_LOGITS = 2**28  # of a segment: 1 GiB
ANY = 2**62
LEAST_STEPS = 16  # of a piece: where even these do not fit nothing does


class CompactDevice:
    """``scorer`` has ``plan.device``, its ``plans``, and ``scores(codes)``: uint8 (B, T) there to
    float32 logits (B, steps, labels) there.

    ``lane`` makes the three streams.

    Memory that runs out makes the next batches go in pieces, half as long as before, and changes no
    score. Raises TcnfastError where the device fails or even a small piece does not fit.
    """

    def __init__(
        self,
        scorer,
        wanted: Wanted,
        window: Window,
        stages: Stages,
        lane: Callable[[torch.device], Lane] | None = None,
    ) -> None:
        lane = lane or Lane
        self.device = scorer.plan.device
        self._window, self._stages = window, stages
        with self._failures():
            self._scores = scores_of(scorer, wanted, window)
            self._up, self._compute, self._down = (lane(self.device) for _ in range(3))
            if self.device.type == "cuda":
                torch.cuda.synchronize()  # weights are made ready on a fourth stream
        self._levels, self._tracked = wanted.levels, len(wanted.columns)
        self._free: list[_Slot] = []  # page-locked memory is dear to make
        self._most_steps = ANY  # scored at once: fewer when memory ran out

    def segment_bases(self, wish: int, labels: int, batch_size: int = 1) -> int:
        """A power of two of bases, at most ``wish``, so that ``batch_size`` segments fit the memory
        that is free."""
        stride = self._window.stride
        stored = self._scores.stored(labels, self._tracked)
        most = min(wish, stride * max(1, MOST_LOGITS // stored))
        if self.device.type == "cuda":
            with self._failures():
                bases = _free_bytes(self.device) * SHARE / self.bytes_per_base()
                most = min(most, int(bases / batch_size))
        return max(1 << (max(most, 1).bit_length() - 1), stride)

    def bytes_per_base(self) -> float:
        """Of device memory, at the peak: measured, as it is for every shape of network."""
        steps = max(1, PROBE_BASES // self._window.stride)
        codes, unknown, slot = self.buffers(1, self._window.length(steps), steps)
        codes[:], unknown[:] = 0, False
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.submit(Batch([0], codes, unknown, slot)).result()
        peak = torch.cuda.max_memory_allocated(self.device)
        return max(1.0, (peak - before) / (steps * self._window.stride))

    def buffers(self, n: int, length: int, steps: int) -> tuple[np.ndarray, np.ndarray, _Slot]:
        """Page-locked codes (n, length) and unknown (n, steps); as many are in use as batches are
        read ahead or not taken in yet."""
        with self._failures():
            try:
                slot = self._free.pop()
            except IndexError:
                slot = _Slot(self.device)
            return *slot.shaped(n, length, steps), slot

    @torch.inference_mode()
    def submit(self, batch: Batch) -> _Pending:
        with self._failures():
            with self._up as up:
                begun = up.mark()
                codes, unknown = batch.slot.upload()
                there = up.mark()
            with self._compute as compute:
                compute.wait(there)
                ready = compute.mark()
                if batch.unknown.all():  # a gap costs nothing
                    scores = self._scores.gap(unknown)
                else:
                    score = lambda length: self._scores.score(codes, unknown, length)  # noqa: E731
                    scores = self._fitting(unknown.shape, score)
                scored = compute.mark()
        return _Pending(self, batch, scores, begun, there, ready, scored)

    @torch.inference_mode()
    def collect(self, pending: _Pending) -> list[CompactSegment]:
        with self._failures(), self._down as down:
            down.wait(pending.scored)
            begun = down.mark()
            for tensor in self._scores.tensors(pending.scores):
                down.uses(tensor)
            sequences, steps = pending.batch.unknown.shape
            found = [
                self._fitting(
                    (1, steps), lambda length, n=n: self._scores.found(pending.scores, n, length)
                )
                for n in range(sequences)
            ]
            first = self._scores.first(pending.scores)
            compacted = down.mark()
            first = first if first is None else down.to_host(first)
            there = [[down.to_host(tensor) for tensor in tensors] for tensors in found]
            copied = down.mark()
            down.finish()
        if first is not None:
            self._check(first, pending.batch.unknown)
        copy = _seconds(pending.begun, pending.there) + _seconds(compacted, copied)
        self._stages.add("copy", copy)
        self._stages.add("compute", _seconds(pending.ready, pending.scored))
        self._stages.add("tail", _seconds(begun, compacted))
        self._free.append(pending.batch.slot)
        return [
            self._segment(first, steps, tensors)
            for first, tensors in zip(pending.batch.first_steps, there, strict=True)
        ]

    def _check(self, first: Tensor, unknown: np.ndarray) -> None:
        """Raise TcnfastError where scores of the first steps, on the host, are NaN or infinite."""
        known = torch.from_numpy(~unknown.all(1))
        if known.any():  # a step of each segment, as of a processor
            check_scores(first[known], f"the model on device {self.device}")

    def _segment(self, first_step: int, steps: int, tensors: list[Tensor]) -> CompactSegment:
        at, values, *tracks = (tensor.numpy() for tensor in tensors)
        levels = tracks[0] if tracks and self._levels else None
        logits = tracks[0] if tracks and not self._levels else None
        return CompactSegment(first_step, steps, at, values, levels, logits)

    def _fitting(self, shape: tuple[int, int], work: Callable[[int], object]):
        """``work(length)`` over segments of ``shape`` (B, steps): in pieces of so many steps, half
        as many from now on when memory runs out."""
        sequences, steps = shape
        while True:
            length = max(1, min(steps, self._most_steps // sequences))
            try:
                return work(length)
            except torch.OutOfMemoryError:
                if length <= LEAST_STEPS:
                    raise
                if self._most_steps == ANY:
                    log.warning(
                        "WARNING: device %s: out of memory; segments are halved until they fit",
                        self.device,
                    )
                self._most_steps = length // 2 * sequences
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
                yield
        except torch.OutOfMemoryError:
            raise TcnfastError(
                f"device {self.device}: out of memory, even for a few kilobases at a time; free "
                "some, or choose another --device"
            ) from None
        except RuntimeError as error:
            said = str(error).strip().splitlines()
            raise TcnfastError(
                f"device {self.device} failed: {said[0] if said else type(error).__name__}; "
                f"{setting('resume', True)} goes on after the last finished stretch"
            ) from error


@dataclass(frozen=True)
class _Pending:
    """A batch that is being scored."""

    device: CompactDevice
    batch: Batch
    scores: list  # of ``device_scores``
    begun: object
    there: object
    ready: object
    scored: object

    def result(self) -> list[CompactSegment]:
        return self.device.collect(self)


class _Slot:
    """Page-locked memory that a reader fills, and as much on the device."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._host = device, torch.empty(0, dtype=torch.uint8)
        self._there = self._host

    def shaped(self, n: int, length: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        self._shape, size = (n, length, steps), n * (length + steps)
        if len(self._host) < size:
            cuda = self._device.type == "cuda"
            self._host = torch.empty(size, dtype=torch.uint8, pin_memory=cuda)
            self._there = torch.empty(size, dtype=torch.uint8, device=self._device)
        codes, unknown = self._views(self._host)
        return codes.numpy(), unknown.numpy()

    def upload(self) -> tuple[Tensor, Tensor]:
        n, length, steps = self._shape
        size = n * (length + steps)
        self._there[:size].copy_(self._host[:size], non_blocking=True)
        return self._views(self._there)

    def _views(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        n, length, steps = self._shape
        codes, unknown = memory[: n * (length + steps)].split([n * length, n * steps])
        return codes.view(n, length), unknown.view(torch.bool).view(n, steps)


class Lane:
    """A CUDA stream; on another device nothing, as work is done there when it is called."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __enter__(self) -> Lane:
        self._context = torch.cuda.stream(self._stream) if self._stream else nullcontext()
        self._context.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._context.__exit__(*error)

    def mark(self) -> torch.cuda.Event | float:
        """A point in this lane, for others to wait for, and in time."""
        if self._stream is None:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def wait(self, mark: torch.cuda.Event | float) -> None:
        if self._stream is not None:
            self._stream.wait_event(mark)

    def uses(self, tensor: Tensor) -> None:
        """Its memory is not to be given away before this lane is done with it."""
        if self._stream is not None:
            tensor.record_stream(self._stream)

    def to_host(self, tensor: Tensor) -> Tensor:
        if self._stream is None:
            return tensor
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return host.copy_(tensor, non_blocking=True)

    def finish(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()


def _seconds(begun, ended) -> float:
    if isinstance(begun, float):
        return ended - begun
    return begun.elapsed_time(ended) / 1000


def _free_bytes(device: torch.device) -> int:
    """What the driver has left and what PyTorch holds unused."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held
