"""The two sides of scan/scan.py that are ours: the network alone, and a scan as a process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

import tcnfast
from benchmarks.kernels.roofline import Roofline, Work
from tcnfast.bench.speed import Clock
from tcnfast.engines import cpu_engine
from tcnfast.engines.backend import DTYPES
from tcnfast.engines.plan import Plan
from tcnfast.genome.genome import Genome
from tcnfast.scan.pieces import Stretch
from tcnfast.scan.pipeline import Pipeline

LOOP = 0.03  # seconds of the register-only loop after each segment
PRODUCT = {"cpu": 4096, "cuda": 8192}  # of the matrix product of a roofline
POLL = 0.25  # seconds between looks at memory
TRACKS = {
    "bigWig": ["--tracks", "all"],
    "zarr uint8": ["--tracks", "all", "--track-format", "zarr"],
    "zarr fp16": ["--tracks", "all", "--track-format", "zarr-fp16"],
}


def contig_segments(scorer, genome: Genome, chrom: str):
    """Segments of the logits of a contig, in order."""
    pipeline, steps = Pipeline(scorer, genome, None), -(-genome.sizes[chrom] // scorer.plan.stride)
    with closing(pipeline.scored(pipeline.groups(Stretch(0, chrom, 0, steps, steps)))) as scored:
        for _, result in scored:
            yield from result()


class Network:
    """The scores of segments of a genome, spread over it: ``sample`` bases, or all there are."""

    def __init__(self, genome: Genome, sizes, device: str, stride: int, sample: float) -> None:
        self.model = tcnfast.load_model("encode-v1")
        self.plan = plan = Plan(self.model, device=device, stride=stride, strand="both")
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
        """Of both strands and all members; codes are read and logits written once."""
        stride, labels = self.plan.stride, len(self.model.labels)
        parts = [
            Work.of_stack(m.config.grid(stride), m.config.channels, labels, bases // stride)
            for m in self.model.members
        ]
        return Work(2 * sum(part.operations for part in parts), parts[0].bytes)

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
        raise SystemExit(f"bench_scan: {' '.join([*command, *options])} failed")
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
