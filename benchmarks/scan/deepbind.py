"""DeepBind as it was published (Alipanahi et al. 2015), in PyTorch along a sequence.

`python -m benchmarks.scan.deepbind deepbind_v011_params.tar.xz --labelled deepbind_encode` checks
it: the scores that DeepBind's own program prints of its example sequences, and the AUROC of models
on ENCODE's held-out 101-mers of their factor.

A model has 16 detectors, a ReLU, their maximum over the window (in some also their mean), a hidden
layer of 32 units or none, and takes the larger score of the two strands. Unknown bases and the
margin of DeepBind's program are a quarter of each letter.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcnfast.engines.plain_stack import convolution
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
