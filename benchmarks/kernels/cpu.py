"""The C++ engine against everybody on the processor: `python -m benchmarks.kernels.cpu`.

Like with like: every side (cpu_sides.py) makes the same scores of the same bases from codes in
memory, norms folded, one strand, on PyTorch's number of threads, and is checked against float64
before it is timed. Slow sides run on fewer bases; all are compared per base. Dense is compared with
dense and pruned with pruned; what pruning gains has a column of its own.

This machine's speed swings, so the sides take turns, and after each sample the register-only loop
of the same instructions is run: "loop" is needed arithmetic as a share of it, "product" as a share
of a 4096-cubed matrix product of the same precision and round. Medians over rounds.

Several thread pools share the process. Each sample starts after a rest in which the threads of
others stop spinning; "mixed" is its time over that of the side run by itself at the start, both in
units of the loop, and a side far above 1 is disturbed. (torch.compile uses PyTorch's own OpenMP.)

`chunk` and `segments` measure what the engine is set by: positions that pass through all layers at
once (CHUNK_BYTES of csrc/cpu/stream.h), seconds for 2^18 bases on one thread; and bases of a
segment of a scan (SEGMENT_BASES), seconds for 2^20 bases. Rows go to results/cpu.csv, chunk.csv and
plan.csv.

Other runtimes take part if they are there: `pip install onnx onnxruntime openvino zentorch`, the
last of these in the version of PyTorch (2.13.0.2 for torch 2.13.0).
`--rounds`, `--seconds` (of a sample), `--sides` (a regular expression on "form side precision") and
`--cases` (another) change a run; `--dry` writes no results.
"""

from __future__ import annotations

import argparse
import re
import warnings
from dataclasses import dataclass, field
from statistics import median

import torch

from benchmarks.harness import RESTED, WALL, append, compare, parser, report
from benchmarks.kernels.cpu_sides import (
    STRIDE,
    Side,
    all_sides,
    missing,
    scorer,
    where_time_goes,
)
from tcnfast.bench.symmetric_twin import random_letters
from tcnfast.engines import cpu_engine
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.plan import Plan
from tcnfast.model.tcn import TCN, TCNConfig

MOST = 2**21  # bases of a sample
LOOP, PRODUCT = 0.03, 4096
SPOTS = (0, *(2**k for k in range(13, 18)))  # seams: 512 bases on either side are checked
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}  # of the spread of the scores; measured: 4e-7 and 6e-3
EAGER = "sampled eager Conv1d fp32"
CASES = {
    "C=64 k=3": {},
    "C=64 k=3 first=15": {"first_kernel": 15},
    "C=32 k=3": {"channels": 32},
    "C=128 k=3": {"channels": 128},
    "C=64 k=5": {"kernel_size": 5},
    "C=64 k=7": {"kernel_size": 7},
}
CHUNKS = [448, 896, 1792, 3584, 7168, 14336]
CUTS = [2**k for k in range(12, 19)]  # bases of a segment
EVERYBODY = list(CASES)[:2]  # the others meet only eager PyTorch


@dataclass
class Measured:
    """A side ready to run, and its samples."""

    side: Side
    run: object
    segment: int
    bases: int = 0
    alone: float = 0.0  # run by itself: seconds a base, then FLOP of the loop in the time of all
    seconds: list[float] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)  # FLOP/s of the register-only loop
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def per_base(self) -> float:
        return median(self.seconds) / self.bases

    @property
    def others(self) -> bool:
        return self.side.isa is None


@torch.no_grad()
def measure(case: str, args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(8)]
    model = TCN(TCNConfig(labels=labels, **CASES[case])).eval()
    codes = torch.randint(0, 5, (MOST + model.receptive_field - 1,), dtype=torch.uint8)
    sides = [s for s in all_sides(model, case in EVERYBODY) if re.search(args.sides, s.key)]
    ready = prepare(model, sides, codes, args.seconds)
    products = {precision: [] for precision in ("fp32", "bf16")}
    operands = {p: torch.randn(2, PRODUCT, PRODUCT).to(DTYPES[p]) for p in products}

    for turn in range(args.rounds):
        for precision, rates in products.items():
            rates.append(product(operands[precision]))
        first = turn * len(ready) // args.rounds % len(ready)
        for entry in ready[first:] + ready[:first]:
            entry.seconds.append(timed(entry, codes, entry.bases, RESTED))
            entry.loops.append(loop(entry.side))
    for entry in ready:
        if not entry.others:
            entry.parts = where_time_goes(model, entry.side, codes)
    rows = rows_of(model, ready, products)
    print_table(case, rows)
    if not args.dry:
        threads = f"{torch.get_num_threads()} threads"
        append("cpu", f"{case}, 8 blocks, 8 labels, {threads}", rows)


def prepare(model, sides, codes, seconds) -> list[Measured]:
    """Each side with the fastest of its segments, checked, and run by itself."""
    wanted = oracle(model, codes)
    ready = {}
    for side in sides:
        if library := missing(side):
            print(f"left out: {side.key}: {library} is not installed")
            continue
        segments = side.segments
        if side.twin:
            segments = (ready[side.twin].segment if side.twin in ready else 2**15,)
        tried = [Measured(side, scorer(model, side, s), s) for s in segments]
        for entry in tried:
            timed(entry, codes, entry.segment)
            entry.alone = min(timed(entry, codes, entry.segment) for _ in range(2)) / entry.segment
        best = min(tried, key=lambda entry: entry.alone)
        count = int(seconds / best.alone / best.segment)
        best.bases = min(max(1, count) * best.segment, MOST)
        check(best, codes, wanted)
        best.alone = min(timed(best, codes, best.bases) * loop(side) for _ in range(3))
        ready[side.key] = best
    return list(ready.values())


def timed(entry: Measured, codes, bases: int, clock=WALL) -> float:
    length = bases + len(codes) - MOST + 1 - entry.side.stride
    return clock.called(lambda: entry.run(codes[:length]))


def oracle(model, codes) -> dict[int, torch.Tensor]:
    """Start: float64 logits of the bases from there on."""
    plan = Plan(model, "cpu", "fp64", stride=1, backend="reference")
    starts = [max(0, spot - 512) for spot in SPOTS]
    return {start: plan(codes[start : start + 1023 + model.receptive_field]) for start in starts}


def check(entry: Measured, codes, wanted) -> None:
    stride = entry.side.stride
    got = entry.run(codes[: entry.bases + len(codes) - MOST + 1 - stride])
    assert len(got) == entry.bases // stride
    spread = max((want.max() - want.min()).item() for want in wanted.values())
    for start, want in wanted.items():
        if start + len(want) <= entry.bases:
            part = got[start // stride : (start + len(want)) // stride]
            error = (part.double() - want[::stride]).abs().max().item() / spread
            assert error <= TOLERANCE[entry.side.precision], f"{entry.side.key}: off by {error:.1e}"


def loop(side: Side) -> float:
    """FLOP/s of the register-only loop of a side's precision, for others on the best there is."""
    isa = side.isa or next(name for name, reason in cpu_engine.isas().items() if reason is None)
    precision = side.precision if isa in cpu_engine.BF16_ISAS else "fp32"
    return cpu_engine._C.peak(isa, precision, LOOP, torch.get_num_threads())


def product(operands) -> float:
    return 2 * PRODUCT**3 / RESTED.called(lambda: torch.mm(operands[0], operands[1]))


def rows_of(model, ready, products) -> list[dict]:
    """One row a side. GFLOP/s are of needed arithmetic: dense for a score at every base, pruned
    for one every 32, whatever a side computes."""
    flop = {
        stride: 2 * model.config.grid(stride).macs_per_base(model.config.channels, 8)
        for stride in (1, STRIDE)
    }
    by_key = {entry.side.key: entry for entry in ready}
    rows = []
    for entry in ready:
        side, work = entry.side, flop[entry.side.stride] * entry.bases
        rivals = [e for e in ready if e.others and e.side.form == side.form]
        same = [e for e in rivals if e.side.precision == side.precision]
        window = fastest([e for e in ready if e.side.form == "windows"])
        dense = by_key.get(side.key.replace("pruned", "dense", 1))
        eager = by_key.get(EAGER if side.stride == STRIDE else "dense" + EAGER[len("sampled") :])
        samples = list(zip(entry.seconds, entry.loops, products[side.precision], strict=True))
        row = {
            "form": side.form,
            "side": side.name,
            "precision": side.precision,
            "bases": entry.bases,
            "segment": entry.segment,
            "median_s": f"{median(entry.seconds):.4g}",
            "mbp_s": f"{1e-6 / entry.per_base:.4g}",
            "gflop_s": f"{1e-9 * work / median(entry.seconds):.4g}",
            "loop": f"{median(work / s / peak for s, peak, _ in samples):.3f}",
            "product": f"{median(work / s / rate for s, _, rate in samples):.3f}",
            "pruning_gain": ratio(dense, entry) if side.form == "pruned" else "",
            "vs_eager_conv1d_fp32": ratio(eager, entry),
            "vs_windows": ratio(window, entry) if side.stride == STRIDE else "",
            "vs_best_other": ratio(fastest(rivals), entry),
            "vs_best_other_same_precision": ratio(fastest(same), entry),
            "mixed": f"{median(s * peak for s, peak, _ in samples) / entry.alone:.2f}",
        }
        parts = ("lookup", "convolutions", "history", "head")
        row |= {p: f"{entry.parts[p]:.3f}" if p in entry.parts else "" for p in parts}
        rows.append(row)
    return rows + [ceiling(name, samples) for name, samples in ceilings(ready, products).items()]


def fastest(entries):
    return min(entries, key=lambda entry: entry.per_base, default=None)


def ratio(slow, fast) -> str:
    return f"{slow.per_base / fast.per_base:.2f}" if slow else ""


def ceilings(ready, products) -> dict[tuple[str, str], list[float]]:
    found = {(f"{PRODUCT}-cubed product", p): rates for p, rates in products.items()}
    for entry in ready:
        if not entry.others:
            key = f"register-only loop {entry.side.isa}", entry.side.precision
            found.setdefault(key, []).extend(entry.loops)
    return found


def ceiling(name, rates) -> dict:
    side, precision = name
    gflop_s = f"{1e-9 * median(rates):.4g}"
    return {"form": "ceiling", "side": side, "precision": precision, "gflop_s": gflop_s}


def print_table(case, rows) -> None:
    columns = {
        "form": "form",
        "side": "side",
        "precision": "",
        "segment": "segment",
        "mbp_s": "Mbp/s",
        "gflop_s": "GFLOP/s",
        "loop": "loop",
        "product": "product",
        "pruning_gain": "pruning",
        "vs_eager_conv1d_fp32": "eager x",
        "vs_windows": "windows x",
        "vs_best_other": "best x",
        "vs_best_other_same_precision": "same p. x",
        "mixed": "mixed",
        "lookup": "lookup",
        "convolutions": "conv.",
        "history": "history",
        "head": "head",
    }
    cells = [[str(row.get(c, "")) for c in columns] for row in [columns, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n\n{case}, {torch.get_num_threads()} threads")
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    for row in rows:
        if row["form"] in ("dense", "pruned", "windows") and row["vs_best_other"] == "1.00":
            print(f"best other, {row['form']}: {row['side']} {row['precision']}")
    noisy = [
        f"{r['form']} {r['side']} {r['precision']}" for r in rows if float(r.get("mixed", 1)) > 1.3
    ]
    if noisy:
        print(f"disturbed, run again with --sides: {', '.join(noisy)}")


def chunk(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    model = TCN(TCNConfig(labels=["a"], first_kernel=15)).eval()
    for precision in ("fp32", "bf16"):
        if reason := cpu_engine.why_not(precision):
            print(f"left out: {precision}: {reason}")
            continue
        for stride, bases in ((1, 2**15), (STRIDE, 2**18)):
            grid, weights = model.config.grid(stride), model.folded()
            codes = random_letters(bases + model.receptive_field - stride)
            runs = {c: cpu_engine.prepare(weights, grid, precision, chunk=c) for c in CHUNKS}
            sides = {f"{c} positions": lambda r=run, x=codes: r(x) for c, run in runs.items()}
            scale = dict.fromkeys(sides, 2**18 / bases)
            _, medians = compare(sides, args.rounds, scale=scale)
            case = f"2^18 bp, s={stride}, {precision}, one thread"
            report("chunk", case, medians, f"{CHUNKS[0]} positions", args.dry)


def segments(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    labels = [f"label{i}" for i in range(112)]
    model = TCN(TCNConfig(labels=labels, first_kernel=19)).eval()
    plan = Plan(model, device="cpu", stride=STRIDE)
    codes = random_letters(CUTS[-1] + model.receptive_field - STRIDE)
    pieces = {n: codes[:, : n + model.receptive_field - STRIDE] for n in CUTS}
    sides = {f"{n} bp": lambda x=piece: plan(x) for n, piece in pieces.items()}
    scale = {f"{n} bp": 2**20 / n for n in CUTS}
    _, medians = compare(sides, args.rounds, scale=scale)
    case = f"2^20 bp in segments, s={STRIDE}, {plan.backend} {plan.precision}"
    report("plan", case, medians, f"{CUTS[0]} bp", args.dry)


TUNED = {"chunk": chunk, "segments": segments}


def main() -> None:
    warnings.simplefilter("ignore")  # torch.compile and torch.onnx warn of what they will drop
    flags = parser(__doc__, rounds=5)
    flags.add_argument("--seconds", type=float, default=0.2, help="of a sample")
    flags.add_argument("--sides", default="", metavar="REGEX")
    flags.add_argument("--cases", default="", metavar="REGEX")
    flags.add_argument("tuned", nargs="*", metavar="CASE", help="chunk, segments: these alone")
    args = flags.parse_args()
    threads = torch.get_num_threads()
    for name in args.tuned:
        torch.set_num_threads(1 if name == "chunk" else threads)
        TUNED[name](args)
    for case in () if args.tuned else CASES:
        if re.search(args.cases, case):
            measure(case, args)


if __name__ == "__main__":
    main()
