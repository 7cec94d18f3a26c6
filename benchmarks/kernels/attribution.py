"""Attribution against the tools of the field, on the same plain model: `python -m
benchmarks.kernels.attribution`, on the bundled model and real sequence, one strand, float32, on
PyTorch's number of threads (--threads).

Mutagenesis: every substitution of a window of RF bases, all labels. "tangermeme" is its
saturation_mutagenesis, "... fast" the same with its own recomputation of cones forced on;
"engine" scores every mutated window whole on the C++ engine. Integrated gradients: one label, or
eight of the same windows; captum has the same steps and its best internal batch of those tried.
Each side runs in processes of its own, as its users run it (how memory is kept decides much of the
time of PyTorch here, and tcnfast attribute changes it), warm; the sides take turns. All must give
the numbers that ours gives. Medians, of the processor's seconds (--wall: of the clock's): this
machine is shared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from captum.attr import IntegratedGradients
from tangermeme import saturation_mutagenesis as tangermeme

import tcnfast
from benchmarks.harness import GENOME, PROCESSOR, WALL, record
from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.mutagenesis import Mutagenesis
from tcnfast.attribute.networks import Networks, one_hot
from tcnfast.engines import cpu_engine
from tcnfast.engines.plan import Plan

MODULE = "benchmarks.kernels.attribution"
FIRST, APART = 500_000, 50_000
STEPS, INTERNAL_BATCHES = 50, (10, 25, 50)
TOLERANCE = 1e-4  # logits


def windows(count: int, width: int) -> np.ndarray:
    """uint8 (count, width) of real sequence without N."""
    with tcnfast.Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        starts = range(FIRST, FIRST + count * APART, APART)
        return np.stack([genome.codes(chrom, start, start + width) for start in starts])


def take_turns(case: str, names: list[str], args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each side, in processes of their own."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns):
            for name in names:
                out = Path(folder, f"{names.index(name)}.npy")
                words = [*sys.argv[1:], "--side", case, name, str(out)]
                command = [sys.executable, "-m", MODULE, *words]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                seconds[name] += json.loads(done.stdout.splitlines()[-1])
                print(f"  turn {turn + 1}, {name}: {seconds[name]}", flush=True)
        found = [np.load(Path(folder, f"{index}.npy")) for index in range(len(names))]
    for name, numbers in zip(names, found, strict=True):
        worst = np.abs(numbers - found[names.index("tcnfast")]).max()
        print(f"  {name}: largest difference {worst:.2g}")
        if not worst <= TOLERANCE:
            raise SystemExit(f"attribution: {name} gives other numbers")
    return {name: median(times) for name, times in seconds.items()}


def run_side(side: Callable[[], np.ndarray], out: str, args: argparse.Namespace) -> None:
    """What a process of a side does: its numbers to a file, its seconds to stdout."""
    clock = WALL if args.wall else PROCESSOR
    np.save(out, side())
    print(json.dumps([clock.called(side) for _ in range(args.rounds)]))


def mutagenesis_sides(model, codes: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives the gains in logits (n, labels, 4, L)."""
    n, width = codes.shape
    labels = list(range(len(model.labels)))
    ours = Mutagenesis(Networks(model, strand="+", device="cpu"))
    plan = Plan(model, device="cpu", precision="fp32", stride=2**model.config.blocks, strand="+")
    x = one_hot(torch.from_numpy(codes))

    def whole() -> np.ndarray:
        gains = np.zeros((n, len(labels), 4, width), np.float32)
        for i, window in enumerate(codes):
            base, place = np.nonzero(np.arange(4)[:, None] != window)
            mutated = np.tile(window, (len(place), 1))
            mutated[np.arange(len(place)), place] = base
            logits = plan(mutated)[:, 0].numpy() - plan(window)[0].numpy()
            gains[i][:, base, place] = logits.T
        return gains

    def theirs(fast: bool) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            tangermeme._FAST_MIN_SECONDS = 0.0  # it tries on small jobs too
            y0, y = tangermeme.saturation_mutagenesis(
                model, x, device="cpu", raw_outputs=True, fast=fast
            )
            return (y - y0[:, None, None]).permute(0, 3, 1, 2).numpy()

        return run

    return {
        "tangermeme": theirs(False),
        "tangermeme fast": theirs(True),
        "engine": whole,
        "tcnfast": lambda: ours.effects(codes, labels)[1],
    }


def gradient_sides(
    model, codes: np.ndarray, labels: list[int]
) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives the attributions (labels, n, L) of the bases that are there."""
    networks = Networks(model, strand="+", device="cpu")
    x = one_hot(torch.from_numpy(codes))
    there = x.bool()
    captum = IntegratedGradients(model)

    def theirs(batch: int) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            found = [
                captum.attribute(x, target=label, n_steps=STEPS, internal_batch_size=batch)
                for label in labels
            ]
            return torch.stack(found).sum(2).numpy()

        return run

    def ours() -> np.ndarray:
        found = integrated_gradients(networks, codes, labels, steps=STEPS)
        return np.stack([(e.hypothetical * there.numpy()).sum(1) for e in found])

    sides = {f"captum, batches of {batch}": theirs(batch) for batch in INTERNAL_BATCHES}
    return sides | {"tcnfast": ours}


CASES = {
    "substitutions": lambda model, codes: mutagenesis_sides(model, codes),
    "ig of 1 label": lambda model, codes: gradient_sides(model, codes, [5]),
    "ig of 8 labels": lambda model, codes: gradient_sides(model, codes, list(range(0, 80, 10))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2, help="processes of each side")
    parser.add_argument("--rounds", type=int, default=3, help="samples of a process")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--wall", action="store_true", help="seconds of the clock")
    parser.add_argument("--dry", action="store_true", help="write no results")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = tcnfast.load_model("encode-v1")
    codes = windows(args.windows, model.receptive_field)
    if args.side:
        case, name, out = args.side
        if name == "tcnfast":
            cpu_engine.keep_freed_memory()  # as tcnfast attribute does
        return run_side(CASES[case](model, codes)[name], out, args)
    for case in args.cases:
        what = (
            f"{case}, {args.windows} windows of {codes.shape[1]} bp, {args.threads} threads, "
            f"{'clock' if args.wall else 'processor time'}"
        )
        print(what, flush=True)
        medians = take_turns(case, list(CASES[case](model, codes)), args)
        peers = [name for name in medians if name not in ("tcnfast", "engine")]
        baseline = min(peers, key=medians.get)
        for name, seconds in medians.items():
            per_window = 1e3 * seconds / args.windows
            print(f"  {name}: {per_window:.1f} ms a window, {medians[baseline] / seconds:.2f}")
        if not args.dry:
            record("attribute", what, medians, baseline)


if __name__ == "__main__":
    main()
