"""The TCN beside the usual CNN of the field (DeepSEA's), on real peaks.

Both are trained by `train.fit`: the same regions, sampler, loss, optimiser, schedule and
validation, each with the learning rate that did best in short runs of its own, none from motifs.
Four sides:

    cnn             one window a tile, as DeepSEA and Selene train: the budget of seconds
    cnn, tiles      16 windows a tile, 32 bp apart, convolutions shared: the same seconds
    tcn             16 windows a tile, as tcnfast trains: the same seconds
    tcn, windows    the very windows and steps of `cnn`: equal examples

AP is of the validation regions, every 32 bp, both strands averaged. Learning rates and epochs are
chosen on the first of those regions, for every side alike, because the CNN takes long to score. The
test regions are not touched. Seconds are of steps alone, validation apart: on a processor those
that it worked, so that neighbours do not count; on a GPU those on the wall.

    python -m benchmarks.studies.peer_cnn --seconds 300                       # a narrow CNN
    python -m benchmarks.studies.peer_cnn --seconds 3600 --deepsea --device cuda
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import RESULTS, append
from benchmarks.studies.training import ROOT, load_dataset
from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import Dataset
from tcnfast.engines import backend as backends
from tcnfast.engines.plan import STRANDS, Plan
from tcnfast.evaluate.predict import predict
from tcnfast.genome.codes import reverse_complement
from tcnfast.genome.genome import Region
from tcnfast.model.metrics import LabelScores, score_labels
from tcnfast.model.tcn import TCN, TCNConfig, network_input
from tcnfast.train.fit import fit
from tcnfast.train.train_config import TrainConfig

WINDOW = 1000  # bases that a score depends on; even, so that the label bin is in the very middle
KERNEL, POOL = 8, 4
STEP = POOL * POOL  # bases between features of the third convolution
POSITIONS = 53  # features of a window: 1000 -> 993 -> 248 -> 241 -> 60 -> 53


@dataclass(frozen=True)
class CNNConfig:
    """Shape of the usual convolutional network of the field, DeepSEA's (Zhou and Troyanskaya 2015)
    by default: 1000 bp around a 200-bp bin, three convolutions, the first two pooled, a dense
    layer, a logit for every label. ``dropout``: after each of the three convolutions."""

    labels: list[str]
    widths: tuple[int, int, int] = (320, 480, 960)
    hidden: int = 925
    dropout: tuple[float, float, float] = (0.2, 0.2, 0.5)
    label_bin: int = 200

    @classmethod
    def small(cls, labels: list[str]) -> CNNConfig:
        """A fifth of DeepSEA's widths: a twentieth of its arithmetic, for training on a CPU."""
        return cls(labels, widths=(64, 96, 192), hidden=256)


class CNN(nn.Module):
    """A DeepSEA-style network; input and output as those of :class:`tcnfast.model.tcn.TCN`."""

    engine = False  # never on the C++ engine

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        widths = (4, *config.widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, (1, KERNEL))
            for c_in, c_out in zip(widths, widths[1:], strict=False)
        )
        self.drops = nn.ModuleList(nn.Dropout(p) for p in config.dropout)
        self.hidden = nn.Linear(POSITIONS * config.widths[-1], config.hidden)
        self.head = nn.Linear(config.hidden, len(config.labels))
        for layer in (*self.convs, self.hidden):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.to(memory_format=torch.channels_last)

    @property
    def labels(self) -> list[str]:
        return self.config.labels

    @property
    def receptive_field(self) -> int:
        return WINDOW

    def unfused(self) -> CNN:
        """Itself: there is no other form."""
        return self

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        """Head bias at the log-odds of ``rates`` (labels,), the share of bound windows of each."""
        rates = torch.as_tensor(rates, dtype=self.head.bias.dtype).clamp(1e-6, 1 - 1e-6)
        self.head.bias.copy_(rates.logit())

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, labels) of windows (N, 1000) uint8 or (N, 4, 1000) float."""
        if x.shape[-1] != WINDOW:
            raise TcnfastError(f"a CNN scores windows of {WINDOW} bases, not {x.shape[-1]}")
        return self.dense(x, STEP)[..., 0]

    def dense(self, x: Tensor, stride: int) -> Tensor:
        """Logits (N, labels, (L - 1000) // stride + 1) of every ``stride``-th window, valid.

        Windows share their convolutions, which is exact because pooling, 16 bases in all, falls on
        the same bases in each: ``stride`` must be a multiple of 16.
        """
        if stride < 1 or stride % STEP:
            raise TcnfastError(f"stride {stride}: a CNN is scored at a multiple of {STEP} bases")
        if x.shape[-1] < WINDOW:
            raise TcnfastError(f"{x.shape[-1]} bases are under the window of {WINDOW}")
        scores = (x.shape[-1] - WINDOW) // stride + 1
        h = network_input(x[..., : WINDOW + (scores - 1) * stride], self.head.weight.dtype)
        for index, (conv, drop) in enumerate(zip(self.convs, self.drops, strict=True)):
            h = F.relu(conv(h))
            if index < 2:
                h = F.max_pool2d(h, (1, POOL))
            h = drop(h)
        windows = h.squeeze(2).unfold(2, POSITIONS, stride // STEP)  # (N, C, scores, POSITIONS)
        h = F.relu(self.hidden(windows.transpose(1, 2).flatten(2)))
        return self.head(h).transpose(1, 2)


class CNNPlan:
    """What :class:`tcnfast.engines.plan.Plan` is to a TCN: ``plan(codes)`` gives logits of every
    window.

    Unlike a Plan it holds the network itself, not a copy of its weights.
    """

    backend, instructions, passed_over = "reference", None, ()
    segment_bases = 2**16

    def __init__(
        self,
        model: CNN,
        device: str = "auto",
        precision: str = "auto",
        stride: int = 32,
        strand: str = "+",
    ) -> None:
        if strand not in STRANDS:
            raise TcnfastError(f"strand {strand!r}: must be one of {', '.join(STRANDS)}")
        self.model, self.stride, self.strand = model, stride, strand
        self.device = backends.choose_device(device)
        chosen = backends.choose(backends.OTHER_NETWORKS, "auto", self.device, precision)
        self.precision = chosen.spec.precision
        if self.precision not in ("fp32", "bf16"):
            raise TcnfastError(f"precision {precision!r}: a CNN takes auto, fp32 or bf16")
        model.to(self.device)

    @property
    def labels(self) -> list[str]:
        return self.model.labels

    @property
    def receptive_field(self) -> int:
        return self.model.receptive_field

    @torch.inference_mode()
    def __call__(self, codes: np.ndarray) -> Tensor:
        """uint8 codes (T,) -> float32 logits ((T - 1000) // stride + 1, labels)."""
        scores = (len(codes) - WINDOW) // self.stride + 1
        codes = codes[: WINDOW + (scores - 1) * self.stride]
        runs = []
        if self.strand != "-":
            runs.append(self._score(codes))
        if self.strand != "+":
            runs.append(self._score(reverse_complement(codes)).flip(0))
        return sum(runs) / len(runs)

    def _score(self, codes: np.ndarray) -> Tensor:
        x = torch.from_numpy(np.require(codes, requirements=["C", "W"]))[None].to(self.device)
        bf16 = self.precision == "bf16"
        self.model.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.model.dense(x, self.stride)[0].T.float()


Split = dict[str, list[Region]]
RATES = {"cnn": (3e-4, 1e-3, 3e-3), "tcn": (1e-3, 3e-3, 6e-3)}
PILOT = 0.2  # of the budget, for each learning rate
SCORED = {"cnn": CNNPlan, "tcn": Plan}


@dataclass(frozen=True)
class Side:
    name: str
    kind: str  # of SCORED
    tiles: int
    tile_steps: int
    same_steps_as: str | None = None  # else: as many steps as the budget has room for


SIDES = (
    Side("cnn", "cnn", 128, 1),
    Side("tcn", "tcn", 64, 16),
    Side("tcn, windows", "tcn", 128, 1, "cnn"),
    Side("cnn, tiles", "cnn", 64, 16),
)


@dataclass(frozen=True)
class Result:
    side: Side
    config: TrainConfig
    parameters: int
    seconds: float  # of all steps
    scores: LabelScores


class Bench:
    def __init__(self, dataset: Dataset, split: Split, args: argparse.Namespace) -> None:
        self.dataset, self.split, self.args = dataset, split, args
        self.choosing = split["valid"][:1]
        self.reach = max(self.network(kind).receptive_field for kind in SCORED)  # one set of bins
        on_gpu = args.device.startswith("cuda")
        self.clock: Callable[[], float] = time.perf_counter if on_gpu else time.process_time

    def network(self, kind: str) -> TCN | CNN:
        torch.manual_seed(self.args.seed)
        labels = self.dataset.labels
        if kind == "cnn":
            return CNN(CNNConfig(labels) if self.args.deepsea else CNNConfig.small(labels))
        shape = json.loads((ROOT / "examples/encode-v1.json").read_text())
        names = ("channels", "kernel-size", "blocks", "first-kernel", "dropout")
        return TCN(
            TCNConfig(labels=labels, **{name.replace("-", "_"): shape[name] for name in names})
        )

    def fit(self, kind: str, config: TrainConfig, valid: list[Region]) -> tuple:
        """The trained network, its epochs, and seconds of its steps."""
        args, model, spent, marks = self.args, self.network(kind), [], []

        def make_plan(model, **options):
            marks.append(self.clock())
            return SCORED[kind](model, **options)

        def on_epoch(model, epoch, is_best: bool) -> None:
            # from the plan made before the first step, or from the last validation's end, to the
            # plan made for this validation
            spent.append(marks[-1] - marks[-2])
            marks.append(self.clock())
            print(
                f"  step {epoch.step}: loss {epoch.loss:.4f}, validation macro-AP "
                f"{epoch.scores.macro('ap'):.4f}, {sum(spent):.0f} s",
                flush=True,
            )

        epochs = fit(
            model,
            self.dataset,
            self.split["train"],
            valid,
            config,
            args.device,
            on_epoch,
            progress=False,
            make_plan=make_plan,
        )
        return model, epochs, sum(spent)

    def seconds_a_step(self, kind: str, config: TrainConfig) -> float:
        """Of the difference of a longer and a shorter run: what comes before steps drops out."""
        region = self.choosing[0]
        short = [region._replace(end=min(region.end, region.start + 1_000_000))]
        times = []
        for steps in (20, 60):
            config = replace(config, steps=steps, epoch_steps=steps)
            times.append(self.fit(kind, config, short)[2])
        return (times[1] - times[0]) / 40

    def config(self, side: Side, rate: float) -> TrainConfig:
        return TrainConfig(
            tiles=side.tiles,
            tile_steps=side.tile_steps,
            learning_rate=rate,
            precision=self.args.precision,
            seed=self.args.seed,
        )

    def best_rate(self, side: Side, step_seconds: float) -> float:
        steps = max(1, round(PILOT * self.args.seconds / step_seconds))
        found = {}
        for rate in RATES[side.kind]:
            print(f" learning rate {rate:g}, {steps} steps", flush=True)
            config = replace(self.config(side, rate), steps=steps, epoch_steps=steps)
            epochs = self.fit(side.kind, config, self.choosing)[1]
            found[rate] = epochs[-1].scores.macro("ap")
        return max(found, key=found.get)

    def run(self, side: Side, rate: float, steps: int) -> Result:
        epoch_steps = -(-steps // self.args.epochs)
        config = replace(self.config(side, rate), steps=steps, epoch_steps=epoch_steps)
        model, _, seconds = self.fit(side.kind, config, self.choosing)
        plan = SCORED[side.kind](
            model, device=self.args.device, precision=self.args.precision, strand="both"
        )
        predicted = predict(plan, self.dataset, self.split["valid"], self.reach)
        scores = score_labels(plan.labels, *predicted)
        parameters = sum(p.numel() for p in model.parameters())
        return Result(side, config, parameters, seconds, scores)


def row(result: Result) -> dict:
    config, scores = result.config, result.scores
    return {
        "side": result.side.name,
        "parameters": result.parameters,
        "learning_rate": config.learning_rate,
        "tiles": config.tiles,
        "tile_steps": config.tile_steps,
        "steps": config.steps,
        "windows": config.steps * config.tiles * config.tile_steps,
        "step_s": f"{result.seconds / config.steps:.4f}",
        "train_s": round(result.seconds),
        "valid_macro_ap": f"{scores.macro('ap'):.4f}",
        "valid_macro_auroc": f"{scores.macro('auroc'):.4f}",
    }


def write_labels(path: Path, results: list[Result]) -> None:
    """AP of every label, the sides side by side."""
    first = results[0].scores
    lines = ["\t".join(["label", "positives", "chance", *(r.side.name for r in results)])]
    for i, label in enumerate(first.labels):
        aps = [f"{r.scores.ap[i]:.4f}" for r in results]
        lines.append("\t".join([label, str(first.positives[i]), f"{first.chance[i]:.5f}", *aps]))
    macro = [f"{r.scores.macro('ap'):.4f}" for r in results]
    lines.append("\t".join(["macro", "", "", *macro]))
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, default=ROOT.parent / "shared" / "data")
    add("--split", type=Path, default=ROOT / "examples/encode-v1.split.json")
    add("--seconds", type=float, default=300, help="of training steps, for each side")
    add("--epochs", type=int, default=4, help="validations of each side")
    add("--deepsea", action="store_true", help="DeepSEA's own widths; else a fifth of them")
    add("--device", default="cpu")
    add("--precision", default="auto")
    add("--seed", type=int, default=0)
    add("--table", type=Path, default=RESULTS / "peer_cnn.valid.tsv", help="AP of every label")
    args = parser.parse_args()
    dataset, split = load_dataset(args.data, args.split)
    bench, rates, results = Bench(dataset, split, args), {}, []
    for side in SIDES:
        print(f"{side.name}: {side.tiles} tiles of {side.tile_steps} windows", flush=True)
        step_seconds = bench.seconds_a_step(side.kind, bench.config(side, 1e-3))
        if side.kind not in rates:
            rates[side.kind] = bench.best_rate(side, step_seconds)
        steps = max(1, round(args.seconds / step_seconds))
        if side.same_steps_as:
            steps = next(r.config.steps for r in results if r.side.name == side.same_steps_as)
        results.append(bench.run(side, rates[side.kind], steps))
        widths = "DeepSEA" if args.deepsea else "narrow"
        case = f"{len(dataset.labels)} labels, {args.seconds:g} s, {widths} CNN"
        append("peer_cnn", case, [row(results[-1])])
        write_labels(args.table, results)
        print(" " + ", ".join(f"{k} {v}" for k, v in row(results[-1]).items()), flush=True)


if __name__ == "__main__":
    main()
