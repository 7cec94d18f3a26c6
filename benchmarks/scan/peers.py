"""Other ways to score a sequence, for scan/scan.py: our network in plain PyTorch, and DeepBind.

Every side starts from uint8 codes in memory and scores both strands every ``stride`` bases on one
device. Those of our network have their norms folded and are held against float64 before they are
timed; of each family the fastest of a few layouts, precisions and lengths is taken.

DeepBind is that of Alipanahi et al. 2015, along a sequence. A model has 16 detectors, a ReLU, their
maximum over the window (in some also their mean), a hidden layer of 32 units or none, and takes the
larger score of the two strands. Unknown bases and the margin of DeepBind's program are a quarter of
each letter. `python -m benchmarks.scan.peers deepbind_v011_params.tar.xz --labelled
deepbind_encode` checks it: the scores that DeepBind's own program prints of its example sequences,
and the AUROC of models on ENCODE's held-out 101-mers of their factor.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcnfast.bench.speed import Clock
from tcnfast.engines.backend import DEVICES, DTYPES, auto_precision
from tcnfast.engines.plain_stack import LAYOUTS, FoldedStack, convolution
from tcnfast.engines.plan import Plan
from tcnfast.genome.codes import encode

WINDOW = 101  # bases: what it was trained on
INDEX = "deepbind_db/db.tsv"
# what the program of DeepBind 0.11 prints of the examples that come with it
EXAMPLES = {
    "D00210.001": ("AGGUAAUAAUUUGCAUGAAAUAACUUGGAGAGGAUAGC", 7.451420),
    "D00120.001": ("AGACAGAGCUUCCAUCAGCGCUAGCAGCAGAGACCAUU", 4.113817),
    "D00410.003": ("GAGGTTACGCGGCAAGATAA", 5.885349),
    "D00328.003": ("TACCACTAGGGGGCGCCACC", 17.682623),
}
# ENCODE sets that have a model of the same experiment
SETS = (
    "CTCFL_K562 ELK1_GM12878 FOXA1_HepG2 GABPA_GM12878 SP1_GM12878 SRF_H1-hESC TCF12_H1-hESC "
    "TEAD4_H1-hESC USF1_HepG2 YY1_H1-hESC ZNF143_H1-hESC"
).split()
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


class Parameters(NamedTuple):
    """One model: ``detectors`` (16, 4, width), ``thresholds`` (16,), ``layers``: weight (inputs,
    outputs) and bias of each."""

    name: str
    both_strands: bool
    mean_too: bool
    detectors: Tensor
    thresholds: Tensor
    layers: list[tuple[Tensor, Tensor]]

    @property
    def shape(self) -> tuple:
        return self.detectors.shape, self.mean_too, self.both_strands, len(self.layers)


def parse(name: str, text: str) -> Parameters:
    """A model's file, lines ``name = numbers``."""
    values = {}
    for line in text.splitlines():
        key, equals, numbers = line.partition("=")
        if equals:
            values[key.strip()] = torch.tensor([float(x) for x in numbers.split(",") if x.strip()])
    count, width = int(values["num_detectors"]), int(values["detector_len"])
    features, hidden = count * (2 if values["has_avg_pooling"] else 1), int(values["num_hidden"])
    layers = [(values["weights1"].reshape(features, hidden or 1), values["biases1"])]
    if hidden:
        layers.append((values["weights2"].reshape(hidden, 1), values["biases2"]))
    detectors = values["detectors"].reshape(width, 4, count).permute(2, 1, 0)
    both, mean_too = bool(values["reverse_complement"]), bool(values["has_avg_pooling"])
    return Parameters(name, both, mean_too, detectors, values["thresholds"], layers)


class Archive:
    """The archive of trained models and its index."""

    def __init__(self, path: str | Path) -> None:
        with tarfile.open(path) as archive:
            texts = {
                member.name.removeprefix("./"): archive.extractfile(member).read().decode()
                for member in archive.getmembers()
                if member.isfile() and ("/params/" in member.name or member.name.endswith(INDEX))
            }
        self._texts = {Path(name).stem: text for name, text in texts.items() if "/params/" in name}
        lines = [line for line in texts[INDEX].splitlines() if not line.startswith("#")]
        self.index = list(csv.DictReader(io.StringIO("\n".join(lines)), delimiter="\t"))

    def model(self, name: str) -> Parameters:
        return parse(name, self._texts[name])

    def chip_seq(self, factor: str = "", cell: str = "") -> list[Parameters]:
        """Models of human ChIP-seq experiments, of any factor and cell line by default."""
        return [
            self.model(row["ID"])
            for row in self.index
            if row["ID"] in self._texts  # the index names some that are not there
            and row["Experiment"] == "ChIP-seq"
            and row["Species"] == "Homo sapiens"
            and factor in ("", row["Protein"])
            and (not cell or f"CellLine={cell}'" in row["Experiment Details"])
        ]


class DeepBind(nn.Module):
    """uint8 codes (N, T) -> float32 scores (N, P, models) of windows of ``window`` bases every
    ``stride``, computed in ``dtype``.

    Windows share one convolution, and each its maximum over the positions that lie whole inside it:
    the cheapest form of DeepBind along a sequence. Several models of one shape are one convolution
    of all their detectors. ``layout``: one of plain_stack.LAYOUTS.
    """

    def __init__(
        self,
        models: list[Parameters],
        layout: str = "Conv1d",
        dtype: torch.dtype = torch.float32,
        window: int = WINDOW,
        stride: int = 32,
    ) -> None:
        super().__init__()
        first = models[0]
        if any(model.shape != first.shape for model in models):
            raise ValueError("models of more than one shape")
        self.models, self.mean_too, self.layout = len(models), first.mean_too, layout
        self.pool, self.stride = window - first.detectors.shape[-1] + 1, stride
        weight = torch.cat([model.detectors for model in models])
        bias = torch.cat([model.thresholds for model in models])
        strands = [weight, weight.flip(1, 2)] if first.both_strands else [weight]
        self.strands = nn.ModuleList(convolution(w, bias, layout) for w in strands)
        for depth in range(len(first.layers)):
            stacked = [torch.stack(x) for x in zip(*(m.layers[depth] for m in models), strict=True)]
            self.register_buffer(f"weight{depth}", stacked[0])
            self.register_buffer(f"bias{depth}", stacked[1])
        self.depth = len(first.layers)
        quarters = torch.full((1, 4), 0.25)
        self.register_buffer("table", torch.cat([torch.eye(4), quarters]))
        self.to(dtype).eval().requires_grad_(False)
        if layout == "channels-last":
            self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.table[codes.int()].transpose(1, 2)
        if self.layout == "channels-last":
            x = x.unsqueeze(2)
        scores = self.scores(self.strands[0](x).relu_())
        for strand in self.strands[1:]:
            scores = torch.maximum(scores, self.scores(strand(x).relu_()))
        return scores.float()

    def scores(self, hits: Tensor) -> Tensor:
        """Detectors at every base, (N, models * 16, L) or with a height of 1, to (N, P, models)."""
        if self.layout == "channels-last":
            pools, shape = (F.max_pool2d, F.avg_pool2d), ((1, self.pool), (1, self.stride))
        else:
            pools, shape = (F.max_pool1d, F.avg_pool1d), (self.pool, self.stride)
        pooled = [pool(hits, *shape) for pool in pools[: 1 + self.mean_too]]
        # the maximum and the mean of a detector are neighbours
        h = torch.stack([p.squeeze(2) if p.ndim == 4 else p for p in pooled], -1)
        h = h.unflatten(1, (self.models, -1)).permute(0, 3, 1, 2, 4).flatten(3)
        for depth in range(self.depth):
            weight, bias = getattr(self, f"weight{depth}"), getattr(self, f"bias{depth}")
            h = torch.einsum("npmi,mio->npmo", h if depth == 0 else h.relu(), weight) + bias
        return h[..., 0]


@torch.inference_mode()
def program_score(model: Parameters, sequence: str) -> float:
    """What DeepBind's program gives: the best of windows of one and a half detectors, each in a
    margin of unknown bases, so that detectors may hang over its ends."""
    width = model.detectors.shape[-1]
    codes = torch.from_numpy(encode(sequence.replace("U", "T")))
    inside = min(len(codes), int(1.5 * width))
    windows = F.pad(codes.unfold(0, inside, 1), (width - 1, width - 1), value=4)
    network = DeepBind([model], window=inside + 2 * (width - 1), stride=1)
    return network(windows).max().item()


@torch.inference_mode()
def auroc(model: Parameters, path: Path) -> float:
    """Of a file of bound 101-mers and their shuffles, columns seq and Bound."""
    from sklearn.metrics import roc_auc_score

    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    codes = np.stack([encode(row["seq"]) for row in rows])
    scores = DeepBind([model])(torch.from_numpy(codes))[:, 0, 0]
    return roc_auc_score([int(row["Bound"]) for row in rows], scores)


def check_examples(archive: Archive) -> None:
    """Raise AssertionError unless the scores of DeepBind's own examples come out."""
    for name, (sequence, want) in EXAMPLES.items():
        got = program_score(archive.model(name), sequence)
        assert abs(got - want) < 1e-5, f"DeepBind {name}: {got}, its program says {want}"


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Check DeepBind against its own program and data")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--labelled", type=Path, help="folder of <factor>_<cell>_..._B.seq.gz")
    args = parser.parse_args()
    archive = Archive(args.archive)
    check_examples(archive)
    print(f"{len(EXAMPLES)} scores of DeepBind's program come out to 1e-5")
    for name in SETS if args.labelled else ():
        factor, cell = name.split("_")
        (path,) = args.labelled.glob(f"{name}_*_B.seq.gz")
        found = [(auroc(model, path), model.name) for model in archive.chip_seq(factor, cell)]
        words = ", ".join(f"{model} {area:.3f}" for area, model in found) or "no model"
        print(f"{name}: AUROC {words}")


if __name__ == "__main__":
    main()
