"""A scan beside its parts and its peers: `python -m benchmarks.scan.scan FASTA [FASTA ...]`.

All with one model (`-m`, the default one), every label, both strands, a score every 32 bases
(`--stride`):

network      the scores of codes in memory and nothing else, of the whole input or `--sample` bases
             spread over it. Its share of the roofline is needed arithmetic (grid.py) a second: on a
             processor of the engine's own loop without memory, run in turn with it; elsewhere the
             larger of needed bytes over the rate of a large copy and needed operations over that of
             a large matrix product, both measured in the run, over the time taken.
scan         `python -m tcnfast.scan` as a process of its own, from FASTA and, with `--twobit`, from
             .2bit files of another folder, which must give the same calls, byte for byte. Calls
             only or, with `--tracks`, with every track in each format. Seconds from the first to
             the last line of the program and of the whole process; what each stage was busy (they
             overlap); the most memory that all its processes held (proportional set size). With
             `--beside encode-v1` also by another model, in the same rounds.
peers        with `--peers deepbind_v011_params.tar.xz`, on the same device, each sampled on a piece
             of the first contig and scaled to the input (scan/peers.py): our network in PyTorch
             window by window, dense, and pruned, checked for the same numbers; and DeepBind, which
             scores one factor, by one model and by as many as we have labels.

`--rounds` rounds, medians. Rows go to results/scan.csv, scan_stages.csv and scan_peers.csv, unless
`--dry`. A genome of 3.1 Gb: see scan/whole_genome.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

import tcnfast
from benchmarks.harness import Roofline, Work, append, record, show
from benchmarks.scan.peers import Peer, check_deepbind, deepbinds, error, fastest, measure, networks
from tcnfast.base.run_record import device_words
from tcnfast.base.verb import DEFAULT_MODEL
from tcnfast.bench.speed import Clock
from tcnfast.engines import cpu_engine
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.plan import Plan
from tcnfast.genome.genome import Genome, split_chroms

LOOP = 0.03  # seconds of the register-only loop after each segment
PRODUCT = {"cpu": 4096, "cuda": 8192}  # of the matrix product of a roofline
POLL = 0.25  # seconds between looks at memory
TRACKS = {
    "bigWig": ["--tracks", "all"],
    "zarr uint8": ["--tracks", "all", "--track-format", "zarr"],
    "zarr fp16": ["--tracks", "all", "--track-format", "zarr-fp16"],
}
PEER_BASES = {"cpu": 2**18, "cuda": 2**23}  # of the piece that peers score


def main() -> None:
    args = arguments()
    with Genome(*args.fasta) as genome:
        sizes = {chrom: genome.sizes[chrom] for chrom in split_chroms(genome.sizes)[0]}
        network = Network(genome, sizes, args)
        bases, words = sum(sizes.values()), device_words(network.plan.device)
        names = ", ".join(path.name for path in args.fasta)
        case = f"{args.model}, {names}, {bases} bp, stride {args.stride}, {words}"
        print(f"# {case}, {network.words}")
        runs = in_turn(args, network)
        show_and_record(case, bases, network, runs, args.dry)
        if args.peers:
            fasta = median(run.seconds for run in runs[next(iter(runs))])
            rows = peers(args, network, bases, fasta, codes_of(genome, sizes, network))
            show(rows)
            if not args.dry:
                append("scan_peers", case, rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A scan beside its parts and its peers")
    add = parser.add_argument
    add("fasta", nargs="+", type=Path)
    add("--twobit", nargs="+", type=Path, default=[], help="the same genome as .2bit")
    add("-m", "--model", default=DEFAULT_MODEL)
    add("--beside", nargs="+", default=[], metavar="MODEL", help="also scans by these models")
    add("--device", default="auto")
    add("--stride", type=int, default=32)
    add("--rounds", type=int, default=3)
    add("--sample", type=float, default=1.4e8, help="bases of the side network (default 1.4e8)")
    add("--tracks", action="store_true", help="also with all tracks, in every format")
    add("--peers", type=Path, metavar="ARCHIVE", help="also peers; DeepBind's trained models")
    add("--dry", action="store_true", help="write no results")
    return parser.parse_args()


def in_turn(args: argparse.Namespace, network: Network) -> dict[str, list[Run]]:
    """The network and every kind of scan, round after round."""
    inputs = {"FASTA": args.fasta} | ({".2bit": args.twobit} if args.twobit else {})
    kinds = {f"calls, from {name}": (files, []) for name, files in inputs.items()}
    if args.tracks:
        for name, options in TRACKS.items():
            kinds[f"calls and all tracks, {name}"] = args.fasta, options
    same = len(kinds)
    kinds |= {f"calls by {name}": (args.fasta, ["-m", name]) for name in args.beside}
    common = ["-m", args.model, "--stride", str(args.stride), "--device", args.device]
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(dir=args.fasta[0].parent) as folder:
        for _ in range(args.rounds):
            network.round()
            for number, (kind, (files, options)) in enumerate(kinds.items()):
                runs[kind].append(scan(files, Path(folder, str(number)), [*common, *options]))
        for number in range(1, same):
            same_calls(Path(folder, "0"), Path(folder, str(number)))
    return runs


def show_and_record(case: str, bases: int, network: Network, runs: dict[str, list[Run]], dry):
    network_s = network.per_base * bases
    rows = [
        {
            "side": "network",
            "seconds": f"{network_s:.4g}",
            "mbp_s": f"{rate(bases, network_s)}",
            "roofline": f"{network.roofline:.3f}",
            "network_x": "1.00",
        }
    ]
    medians = {"network": network_s}
    for kind, some in runs.items():
        medians[kind] = median(run.seconds for run in some)
        middle = min(some, key=lambda run, m=medians[kind]: abs(run.seconds - m))
        row = {
            "side": kind,
            "seconds": f"{medians[kind]:.4g}",
            "mbp_s": rate(bases, medians[kind]),
            "network_x": f"{medians[kind] / network_s:.2f}",
            "process_s": f"{median(run.process for run in some):.4g}",
            "resident_mib": f"{max(run.resident for run in some):.0f}",
            "output_mib": f"{middle.output:.0f}",
        }
        rows.append(row | {f"{stage}_s": f"{s:.3f}" for stage, s in middle.stages.items()})
    columns = dict.fromkeys(column for row in rows for column in row)
    rows = [{column: row.get(column, "") for column in columns} for row in rows]
    show(rows)
    if not dry:
        record("scan", case, medians, "network")
        append("scan_stages", f"{case}, {network.words}", rows)


def codes_of(genome: Genome, sizes: dict[str, int], network: Network) -> torch.Tensor:
    """A piece of the middle of the first contig."""
    chrom, plan = next(iter(sizes)), network.plan
    wanted = PEER_BASES[plan.device.type] + plan.receptive_field - plan.stride
    start = max(0, sizes[chrom] // 2 - wanted // 2)
    return torch.from_numpy(genome.codes(chrom, start, start + wanted)).to(plan.device)


def peers(args, network: Network, bases: int, scan_s: float, codes: torch.Tensor) -> list[dict]:
    model, plan, clock = network.model, network.plan, Clock(network.plan.device)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    archive = check_deepbind(args.peers)
    overlap = model.receptive_field - args.stride
    ours = Peer(
        "tcnfast, network",
        f"{plan.backend} {plan.precision}",
        plan,
        len(codes) - overlap,
        overlap,
        plan.precision,
    )
    sides = {ours.family: ours} | fastest(networks(model, args.stride, plan.device), clock, codes)
    off = {family: error(side, model, args.stride, codes) for family, side in sides.items()}
    sides |= fastest(deepbinds(archive, args.stride, plan.device), clock, codes)
    rows, labels = [], len(model.labels)
    per_base = measure(sides, clock, codes, max(3, args.rounds))
    for family, side in sides.items():
        seconds, sampled = per_base[family]
        times = {family: seconds * bases}
        if side.models > 1:
            times = {f"DeepBind, {labels} models": seconds * bases * labels / side.models}
        for name, whole in times.items():
            rows.append(
                {
                    "side": name,
                    "detail": side.detail,
                    "off": f"{off[family]:.1e}" if family in off else "another network",
                    "sampled_bases": sampled,
                    "scaled_s": f"{whole:.4g}",
                    "mbp_s": rate(bases, whole),
                    "ratio_to_network": f"{whole / (per_base[ours.family][0] * bases):.2f}",
                    "ratio_to_scan": f"{whole / scan_s:.2f}",
                }
            )
    return rows


def rate(bases: int, seconds: float) -> str:
    return f"{bases / seconds / 1e6:.4g}"


class Network:
    """The scores of segments of a genome, spread over it: ``sample`` bases, or all there are."""

    def __init__(self, genome: Genome, sizes, args: argparse.Namespace) -> None:
        stride, sample = args.stride, args.sample
        self.model = tcnfast.load_model(args.model)
        self.plan = plan = Plan(self.model, device=args.device, stride=stride, strand="both")
        self.clock, self._genome = Clock(plan.device), genome
        length = plan.segment_bases - plan.segment_bases % stride
        every = [
            (chrom, at, min(length, size - at))
            for chrom, size in sizes.items()
            for at in range(0, size, length)
            if min(length, size - at) >= stride
        ]
        bases = sum(n for _, _, n in every)
        self._segments = every[:: max(1, round(bases / sample))]
        self._seconds: list[float] = []  # a base, a round each
        self._shares: list[float] = []  # of the roofline, a segment each
        self._floor = None  # of the roofline that was measured once, where there is no loop
        self.words = f"{plan.backend} {plan.instructions or ''} {plan.precision}".replace("  ", " ")

    def round(self) -> None:
        half, seconds, bases = self.plan.receptive_field // 2, 0.0, 0
        for index, (chrom, start, length) in enumerate(self._segments):
            codes = self._genome.codes(chrom, start - half, start + length + half)
            codes = torch.from_numpy(codes[None]).to(self.plan.device)
            if index == 0:
                self.clock.warm(lambda codes=codes: self.plan(codes))
            took = self.clock.called(lambda codes=codes: self.plan(codes))
            self._shares.append(self._share(length, took))
            seconds, bases = seconds + took, bases + length
        self._seconds.append(seconds / bases)

    def _share(self, bases: int, seconds: float) -> float:
        """Of what the device could do."""
        plan, work = self.plan, self._work(bases)
        if plan.backend == "cpu":
            loop = cpu_engine._C.peak(
                plan.instructions, plan.precision, LOOP, torch.get_num_threads()
            )
            return work.operations / seconds / loop
        if self._floor is None:
            size = PRODUCT.get(plan.device.type, 4096)
            self._floor = Roofline.measure(self.clock, DTYPES[plan.precision], size)
        return self._floor.floor(work) / seconds

    def _work(self, bases: int) -> Work:
        """Of both strands and all members; codes are read and logits written once. A symmetric
        member scores both strands in one pass, whose products have half the channels on either side
        and are two (sums and differences): a quarter of two passes."""
        stride, labels = self.plan.stride, len(self.model.labels)
        parts = [
            Work.of_stack(m.config.grid(stride), m.config.channels, labels, bases // stride)
            for m in self.model.members
        ]
        operations = sum(
            part.operations * (0.5 if member.config.symmetric else 2)
            for part, member in zip(parts, self.model.members, strict=True)
        )
        return Work(operations, parts[0].bytes)

    @property
    def per_base(self) -> float:
        return median(self._seconds)

    @property
    def roofline(self) -> float:
        return median(self._shares)


@dataclass
class Run:
    """One scan: ``seconds`` by its own clock and of the whole ``process``, MiB ``resident`` at most
    and written (``output``), and busy seconds of its stages."""

    seconds: float
    process: float
    resident: float
    output: float
    stages: dict[str, float]


def scan(files: list[Path], out: Path, options: list[str]) -> Run:
    """``python -m tcnfast.scan`` of ``files`` into ``out``, which it replaces."""
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "tcnfast.scan",
        *map(str, files),
        "-o",
        str(out),
        "-q",
    ]
    start = time.perf_counter()
    process = subprocess.Popen([*command, *options])
    memory = Memory(process.pid)
    status = process.wait()
    took = time.perf_counter() - start
    if status:
        raise SystemExit(f"scan.py: {' '.join([*command, *options])} failed")
    facts = json.loads((out / "run.json").read_text())
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Run(facts["seconds"], took, memory.peak(), written / 2**20, facts.get("stages", {}))


class Memory:
    """Watches the proportional set sizes of a process and all below it, from another thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._over = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(POLL):
            self._most = max(self._most, sum(map(_set_size, _family(self._pid))))

    def peak(self) -> float:
        """MiB, once the process has ended."""
        self._over.set()
        self._thread.join()
        return self._most


def _family(pid: int) -> list[int]:
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has ended
        return []
    return [pid, *(p for text in tasks for child in text.split() for p in _family(int(child)))]


def _set_size(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def same_calls(one: Path, other: Path) -> None:
    """Raise AssertionError unless two scans called the same, byte for byte."""
    names = [sorted(path.name for path in (out / "peaks").iterdir()) for out in (one, other)]
    assert names[0] == names[1] and names[0], "the scans called other labels"
    for name in names[0]:
        calls = [(out / "peaks" / name).read_bytes() for out in (one, other)]
        assert calls[0] == calls[1], f"{name} differs between scans"


if __name__ == "__main__":
    with torch.inference_mode():
        main()
