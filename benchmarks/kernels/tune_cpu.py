"""What the C++ engine's cuts were tuned on: `python -m benchmarks.kernels.tune_cpu`.

chunk     positions that pass through all layers at once (CHUNK_BYTES of csrc/cpu/stream.h): seconds
          for 2^18 bases on one thread.
segments  bases of a segment of a scan (SEGMENT_BASES): seconds for 2^20 bases.

Cases are chosen by name; rows go to results/chunk.csv and plan.csv, unless `--dry`.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.harness import compare, parser, report
from tcnfast.engines import cpu_engine
from tcnfast.engines.plan import Plan
from tcnfast.model.tcn import TCN, TCNConfig

CHUNKS = [448, 896, 1792, 3584, 7168, 14336]
SEGMENTS = [2**k for k in range(12, 19)]
STRIDE = 32


def chunk(args: argparse.Namespace) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = TCN(TCNConfig(labels=["a"], first_kernel=15)).eval()
    for precision in ("fp32", "bf16"):
        if reason := cpu_engine.why_not(precision):
            print(f"left out: {precision}: {reason}")
            continue
        for stride, bases in ((1, 2**15), (STRIDE, 2**18)):
            grid, weights = model.config.grid(stride), model.folded()
            codes = torch.randint(
                0, 4, (1, bases + model.receptive_field - stride), dtype=torch.uint8
            )
            runs = {c: cpu_engine.prepare(weights, grid, precision, chunk=c) for c in CHUNKS}
            sides = {f"{c} positions": lambda r=run, x=codes: r(x) for c, run in runs.items()}
            scale = dict.fromkeys(sides, 2**18 / bases)
            _, medians = compare(sides, args.rounds, scale=scale)
            case = f"2^18 bp, s={stride}, {precision}, one thread"
            report("chunk", case, medians, f"{CHUNKS[0]} positions", args.dry)
    torch.set_num_threads(threads)


def segments(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(112)]
    model = TCN(TCNConfig(labels=labels, first_kernel=19)).eval()
    plan = Plan(model, device="cpu", stride=STRIDE)
    length = SEGMENTS[-1] + model.receptive_field - STRIDE
    codes = torch.randint(0, 4, (length,), dtype=torch.uint8)
    pieces = {n: codes[: n + model.receptive_field - STRIDE] for n in SEGMENTS}
    sides = {f"{n} bp": lambda x=piece: plan(x) for n, piece in pieces.items()}
    scale = {f"{n} bp": 2**20 / n for n in SEGMENTS}
    _, medians = compare(sides, args.rounds, scale=scale)
    case = f"2^20 bp in segments, s={STRIDE}, {plan.backend} {plan.precision}"
    report("plan", case, medians, f"{SEGMENTS[0]} bp", args.dry)


CASES = {"chunk": chunk, "segments": segments}


def main() -> None:
    flags = parser(__doc__, rounds=7)
    flags.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    args = flags.parse_args()
    for case in args.cases:
        CASES[case](args)


if __name__ == "__main__":
    main()
