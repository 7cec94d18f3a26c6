"""Other ways to score a sequence, for scan/scan.py: our network in plain PyTorch, and DeepBind.

Every side starts from uint8 codes in memory and scores both strands every ``stride`` bases on one
device. Those of our network have their norms folded and are held against float64 before they are
timed; of each family the fastest of a few layouts, precisions and lengths is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.scan.deepbind import WINDOW, Archive, DeepBind, check_examples
from tcnfast.bench.speed import Clock
from tcnfast.engines.backend import DEVICES, DTYPES, auto_precision
from tcnfast.engines.plain_stack import LAYOUTS, FoldedStack
from tcnfast.engines.plan import Plan

BATCHES = {"cpu": (32, 256), "cuda": (256, 1024, 4096)}  # windows evaluated at once
SEGMENTS = {"cpu": (2**13, 2**15, 2**17), "cuda": (2**17, 2**20)}  # bases scored at once
TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2, "fp16": 3e-2}  # of the spread of the scores
CHECKED = 256  # scores
DEEPBINDS = 16  # models of one convolution
SECONDS = 1.0  # of a call that is timed


@dataclass
class Peer:
    """``run``: codes (T,) on the device to scores (P, labels); ``unit``: bases it takes at once;
    ``overlap``: codes it needs beside those of its steps; ``models``: of how many of DeepBind."""

    family: str
    detail: str
    run: Callable[[Tensor], Tensor]
    unit: int
    overlap: int
    precision: str
    models: int = 0

    def timed(self, clock: Clock, codes: Tensor, bases: int) -> float:
        part = codes[: bases + self.overlap]
        return clock.called(lambda: self.run(part))


def other_strand(codes: Tensor) -> Tensor:
    """Reverse complement of codes (N, T)."""
    return torch.where(codes < 4, 3 - codes, 4).flip(1)


def precisions(device: torch.device) -> list[str]:
    """fp32, and bf16 where the device multiplies it in hardware."""
    taken = {auto_precision(backend, device) for backend in DEVICES}
    return ["fp32", *(taken & {"bf16"})]


def networks(model, stride: int, device: torch.device) -> Iterator[Peer]:
    """Our network in PyTorch: a window for each score; dense, every ``stride``-th score kept; and
    on the pruned grids."""
    overlap = model.receptive_field - stride
    for layout, precision in product(LAYOUTS, precisions(device)):

        def stacks(form: str, layout=layout, precision=precision) -> list[FoldedStack]:
            grid_of = [m.config.grid(stride if form == "pruned" else 1) for m in model.members]
            sample = None if form == "pruned" else stride
            return [
                FoldedStack(m.folded(), grid, layout, DTYPES[precision], sample).to(device)
                for m, grid in zip(model.members, grid_of, strict=True)
            ]

        words = f"{layout} {precision}"
        dense, pruned = stacks("dense"), stacks("pruned")
        for batch in BATCHES[device.type]:
            run = _windows(dense, model.receptive_field, stride, batch)
            detail = f"{words}, {batch} at once"
            yield Peer("PyTorch, window by window", detail, run, batch * stride, overlap, precision)
        for segment in SEGMENTS[device.type]:
            detail = f"{words}, {segment} bases at once"
            for family, kind in (("PyTorch, dense", dense), ("PyTorch, pruned", pruned)):
                run = _segments(kind, overlap, segment)
                yield Peer(family, detail, run, segment, overlap, precision)


def _both(stacks: list[FoldedStack], codes: Tensor) -> Tensor:
    """Mean over members and strands of logits (N, P, labels)."""
    plus, minus = codes, other_strand(codes)
    total = sum(stack(plus) + stack(minus).flip(1) for stack in stacks)
    return total / (2 * len(stacks))


def _windows(stacks, width: int, stride: int, batch: int):
    def run(codes: Tensor) -> Tensor:
        batches = codes.unfold(0, width, stride).split(batch)
        return torch.cat([_both(stacks, part.contiguous())[:, 0] for part in batches])

    return run


def _segments(stacks, overlap: int, segment: int):
    def run(codes: Tensor) -> Tensor:
        pieces = codes.unfold(0, segment + overlap, segment)
        return torch.cat([_both(stacks, piece[None])[0] for piece in pieces])

    return run


def deepbinds(archive: Archive, stride: int, device: torch.device) -> Iterator[Peer]:
    """One model of the archive, and several as one convolution."""
    every = archive.chip_seq()
    one_shape = [model for model in every if model.shape == every[0].shape]
    for count in (1, DEEPBINDS):
        for layout, precision in product(LAYOUTS, precisions(device)):
            network = DeepBind(one_shape[:count], layout, DTYPES[precision], stride=stride)
            network = network.to(device)
            for segment in SEGMENTS[device.type]:
                family = f"DeepBind, {count} model{'s' * (count > 1)}"
                detail = f"{layout} {precision}, {segment} bases at once"
                overlap = WINDOW - stride
                run = _pieces(network, overlap, segment)
                yield Peer(family, detail, run, segment, overlap, precision, count)


def _pieces(network: DeepBind, overlap: int, segment: int):
    def run(codes: Tensor) -> Tensor:
        pieces = codes.unfold(0, segment + overlap, segment)
        return torch.cat([network(piece[None])[0] for piece in pieces])

    return run


@torch.inference_mode()
def check_deepbind(path: Path) -> Archive:
    """The archive, once its numbers are those of DeepBind's program, and windows that share a
    convolution score as windows by themselves. Raises AssertionError otherwise."""
    archive = Archive(path)
    check_examples(archive)
    model = archive.chip_seq()[0]
    codes = torch.randint(0, 5, (1, 1000), dtype=torch.uint8)
    along = DeepBind([model])(codes)[0]
    alone = DeepBind([model])(codes[0].unfold(0, WINDOW, 32).contiguous())[:, 0]
    assert (along - alone).abs().max() < 1e-5
    return archive


@torch.inference_mode()
def fastest(peers: Iterator[Peer], clock: Clock, codes: Tensor) -> dict[str, Peer]:
    """Of each family the one that takes the least a base, tried on as much as it takes at once."""
    best: dict[str, tuple[float, Peer]] = {}
    for peer in peers:
        if peer.unit + peer.overlap > len(codes):
            continue
        clock.called(lambda peer=peer: peer.run(codes[: peer.unit + peer.overlap]))
        rate = peer.timed(clock, codes, peer.unit) / peer.unit
        if peer.family not in best or rate < best[peer.family][0]:
            best[peer.family] = rate, peer
    return {family: peer for family, (_, peer) in best.items()}


@torch.inference_mode()
def error(peer: Peer, model, stride: int, codes: Tensor) -> float:
    """The largest difference of a network's scores from float64, as a share of their spread.
    Raises AssertionError where it computes something else."""
    plan = Plan(model, "cpu", "fp64", stride, backend="reference", strand="both")
    want = plan(codes[: CHECKED * stride + peer.overlap].cpu()).double()
    scores = peer.run(codes[: max(peer.unit, CHECKED * stride) + peer.overlap])
    got = scores[:CHECKED].cpu().double()
    off = ((got - want).abs().max() / (want.max() - want.min())).item()
    assert off <= TOLERANCE[peer.precision], f"{peer.family}, {peer.detail}: off by {off:.1e}"
    return off


@torch.inference_mode()
def measure(peers: dict[str, Peer], clock: Clock, codes: Tensor, rounds: int) -> dict[str, tuple]:
    """Family to (median seconds a base, bases of a call), the families taking turns."""
    bases = {}
    for family, peer in peers.items():
        seconds = peer.timed(clock, codes, peer.unit)
        most = (len(codes) - peer.overlap) // peer.unit
        bases[family] = peer.unit * min(most, max(1, int(SECONDS / seconds)))
    samples: dict[str, list[float]] = {family: [] for family in peers}
    for _ in range(rounds):
        for family, peer in peers.items():
            samples[family].append(peer.timed(clock, codes, bases[family]) / bases[family])
    medians = {family: sorted(rates)[len(rates) // 2] for family, rates in samples.items()}
    return {family: (medians[family], bases[family]) for family in peers}
