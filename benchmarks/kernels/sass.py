"""Machine code as nvdisasm prints it: what a warp of one program issues, how long it waits, and how
long a launch takes of all its programs.

The code is walked in its order. Of a branch forward both sides count, and subroutines (slow paths
of divisions) do not. A loop is a branch back; how often it runs is told.

The chain is the time of a warp that has the multiprocessor to itself: instructions issue in their
order, each after the stall cycles and the scoreboards that the compiler wrote into the encoding
(bits 105 to 125: stall, yield, the scoreboard it sets for its result and for its operands, those it
waits for), and a product waits for the tensor cores. Latencies are LATENCY, about what is published
for Hopper; none was measured here.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from support.ahead import MULTIPROCESSORS  # noqa: E402

# cycles until a result is there, by the beginning of an opcode; else a scoreboard waits for OTHER
LATENCY = {
    "LDG": 650,  # from device memory; the second level of cache takes 270
    "LDS": 30,
    "LDSM": 33,
    "LDC": 40,
    "ULDC": 40,
    "S2R": 40,
    "MUFU": 30,
    "ATOM": 700,
    "SHFL": 25,
}
OTHER = 25
OPERANDS = 20  # until the operands of a store were read
BARRIER = 30  # cycles that a barrier of the program takes where all arrive together
PRODUCT = 30  # from the last cycle of a product in the tensor cores to its result
# instructions of which a multiprocessor starts 64 threads a cycle, not 128 (CUDA programming
# guide, arithmetic throughput, 9.0); uniform ones run beside
HALF_RATE = re.compile(
    r"(IADD|LOP|PRMT|SHF|LEA|ISETP|SEL|FMNMX|FSETP|F2FP|IMAD|IMNMX|VIADD|IABS|SGXT|BMSK|VIMNMX)"
)
PORT = 128  # bytes a cycle of shared memory
# cycles of the tensor cores: a warpgroup's product of 64 rows and N columns, whose operands have 32
# bytes a row, takes N / 2 of them (data sheet: 4,096 operations a cycle, of 16-bit operands)
COLUMNS = 2
ROW_BYTES = 32
# of one warp's product, by its shape; such products reach 62 % of the rate (arXiv 2402.13499)
MMA_SYNC = {"16816": 1 / 0.62, "1688": 0.5 / 0.62}
WARP = 32
LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?);?\s*/\* 0x([0-9a-f]{16}) \*/")
MORE = re.compile(r"^\s*/\* 0x([0-9a-f]{16}) \*/")
LABEL = re.compile(r"^(\.L\w*):")
WIDTH = re.compile(r"\.(U8|S8|U16|S16|64|128)\b")
BYTES = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}
HGMMA = re.compile(r"[HQI]GMMA\.64x(\d+)x")
HMMA = re.compile(r"HMMA\.(\d+)")
# an H200. The clock is that of the data sheet's 989 TFLOP/s: 132 * 4096 operations a cycle
CLOCK = 1.83e9
BANDWIDTH = 4.3e12  # bytes a second of a large copy through PyTorch, read and written: measured
REGISTERS, THREADS, PROGRAMS = 65_536, 2_048, 32  # of a multiprocessor (CUDA guide, 9.0)
SHARED = 233_472  # bytes of a multiprocessor; a program takes 1 KiB beside its own
SCHEDULERS = 4
LEAST = 2.5e-6  # seconds of the smallest kernel behind another: assumed


@dataclass(frozen=True)
class Instruction:
    """``text`` without its predicate, and what the compiler wrote into its encoding."""

    text: str
    control: int  # bits 105 and above

    @property
    def name(self) -> str:
        return self.text.split(maxsplit=1)[0]

    @property
    def stall(self) -> int:
        return self.control & 15

    @property
    def sets(self) -> list[int]:
        """Scoreboards: of the result, of the operands; 7 is none."""
        return [self.control >> 5 & 7, self.control >> 8 & 7]

    @property
    def waits(self) -> list[int]:
        mask = self.control >> 11 & 63
        return [i for i in range(6) if mask >> i & 1]

    @property
    def tensor(self) -> float:
        """Cycles of the tensor cores: of a warpgroup's product, or of one warp's."""
        if match := HGMMA.match(self.name):
            return int(match[1]) / COLUMNS
        if match := HMMA.match(self.name):
            return MMA_SYNC[match[1]] * (2 if ".TF32" in self.name else 1)
        return 0.0

    @property
    def by_warpgroup(self) -> bool:
        return bool(HGMMA.match(self.name))

    @property
    def port(self) -> float:
        """Cycles of the shared-memory port, without conflicts: of a warp, or a warpgroup's
        product, which reads its second operand there and, if it is no register, its first."""
        if match := HGMMA.match(self.name):
            from_registers = re.match(r"\S+ R\d+, R\d+", self.text)
            rows = int(match[1]) + (0 if from_registers else 64)
            return rows * ROW_BYTES / PORT
        name = self.name
        if name.startswith(("LDSM", "STSM")):
            return 16 * 8 * int(name[-1]) / PORT
        if name.startswith(("LDS", "STS", "ATOMS")):
            width = WIDTH.search(name)
            return WARP * (BYTES[width[1]] if width else 4) / PORT
        return 0.0


@dataclass
class Loop:
    """Instructions and loops, in their order."""

    body: list[Instruction | Loop] = field(default_factory=list)

    @property
    def loops(self) -> list[Loop]:
        """All in it, in the order in which they begin."""
        inner = [item for item in self.body if isinstance(item, Loop)]
        return [found for item in inner for found in (item, *item.loops)]


@dataclass(frozen=True)
class Count:
    """What one warp of a program issues. ``tensor``, ``port``: cycles for all warps together;
    ``chain``: cycles from its first instruction to its last."""

    instructions: float
    half_rate: float
    tensor: float
    port: float
    barriers: float
    chain: float


def parse(text: str) -> Loop:
    """The kernel in ``nvdisasm -hex -c``'s text as if it were a loop that runs once."""
    found, labels, pending = [], {}, None
    for line in text.splitlines():
        if match := LABEL.match(line):
            labels[match[1]] = len(found)
        elif match := LINE.match(line):
            pending = match[2].strip().rstrip(";").strip()
        elif pending is not None and (match := MORE.match(line)):
            found.append((pending, int(match[1], 16) >> 41))
            pending = None
    if not found:
        raise ValueError("no machine code in what nvdisasm printed")
    return _loops(found[: _end(found, labels)], labels)


def _end(found, labels) -> int:
    """Behind the last exit that is no subroutine's: an unconditional EXIT, before which every
    branch forward ends."""
    reach = 0
    for index, (text, _) in enumerate(found):
        if match := re.search(r"\bBRA.*`\((\.L\w*)\)", text):
            reach = max(reach, labels.get(match[1], 0))
        if text.startswith("EXIT") and reach <= index:
            return index + 1
    return len(found)


def _loops(found, labels) -> Loop:
    ends = {}  # of loops, by their beginning
    for index, (text, _) in enumerate(found):
        match = re.search(r"\bBRA.*`\((\.L\w*)\)", text)
        if match and labels[match[1]] <= index:
            ends[labels[match[1]]] = index
    whole = Loop()
    open_loops, ended = [whole], []
    for index, (text, control) in enumerate(found):
        if index in ends:
            loop = Loop()
            open_loops[-1].body.append(loop)
            open_loops.append(loop)
            ended.append(ends[index])
        open_loops[-1].body.append(Instruction(re.sub(r"^@!?U?P\w+\s+", "", text), control))
        while ended and ended[-1] == index:
            open_loops.pop()
            ended.pop()
    return whole


def count(kernel: Loop, trips: list[float], warps: int) -> Count:
    """``trips``: how often each loop runs each time that it is come to, in the order in which they
    begin."""
    machine = Machine(warps)
    machine.run(kernel, {id(loop): n for loop, n in zip(kernel.loops, trips, strict=True)})
    return Count(**machine.totals, chain=machine.now)


class Machine:
    """Counts, and the clock of one warp."""

    SETTLED = 3  # rounds of a loop after which each takes as long as the one before

    def __init__(self, warps: int) -> None:
        self.warps, self.now, self.tensor_free = warps, 0.0, 0.0
        self.ready = [0.0] * 8
        names = ("instructions", "half_rate", "tensor", "port", "barriers")
        self.totals = dict.fromkeys(names, 0.0)

    def run(self, loop: Loop, trips: dict[int, float]) -> None:
        """The body once."""
        for item in loop.body:
            if isinstance(item, Instruction):
                self.issue(item)
            else:
                self.repeat(item, trips)

    def repeat(self, loop: Loop, trips: dict[int, float]) -> None:
        rounds = trips[id(loop)]
        walked = int(min(rounds, self.SETTLED))
        before = self.now, dict(self.totals)
        for _ in range(walked):
            before = self.now, dict(self.totals)
            self.run(loop, trips)
        if rest := rounds - walked:
            took = (self.now - before[0]) * rest
            self.now += took
            self.tensor_free += took
            self.ready = [at + took for at in self.ready]
            for name, value in self.totals.items():
                self.totals[name] += (value - before[1][name]) * rest

    def issue(self, one: Instruction) -> None:
        for board in one.waits:
            self.now = max(self.now, self.ready[board])
        name = one.name
        if name.startswith("WARPGROUP.DEPBAR"):
            self.now = max(self.now, self.tensor_free + PRODUCT)
        if one.tensor:
            groups = self.warps / 4 if one.by_warpgroup else self.warps
            self.tensor_free = max(self.now, self.tensor_free) + one.tensor * groups
            self.totals["tensor"] += one.tensor * groups
        if one.port:
            self.totals["port"] += one.port * (self.warps / 4 if one.by_warpgroup else self.warps)
        self.totals["instructions"] += 1
        self.totals["half_rate"] += bool(HALF_RATE.match(name))
        result, operands = one.sets
        if result != 7:
            done = self.now + _latency(name)
            if one.tensor and not one.by_warpgroup:
                done = self.tensor_free + PRODUCT
            self.ready[result] = max(self.ready[result], done)
        if operands != 7:
            self.ready[operands] = max(self.ready[operands], self.now + OPERANDS)
        if name.startswith("BAR"):
            self.totals["barriers"] += 1
            self.now += BARRIER
        self.now += max(1, one.stall)


def _latency(name: str) -> float:
    return next((cycles for start, cycles in LATENCY.items() if name.startswith(start)), OTHER)


def _steps(a: dict) -> list[float]:
    return [a["steps"] + 2 * (a["K"] - 1) // a["S"]]


def _first_steps(a: dict) -> list[float]:
    return [a["steps"] + (a["K"] - 1) // a["S"]]


def _walked(a: dict) -> list[float]:
    return [a["steps"]]


def _pieces(a: dict) -> list[float]:
    return [a["per_part"], a["chunk"] / a["M"]]


# how often the loops of a kernel run, in the order in which they begin; kernels without have none
TRIPS: dict[str, Callable[[dict], list[float]]] = {
    "block": _steps,
    "halved_block": _steps,
    "wgmma_block": _steps,
    "wgmma_halved_block": _steps,
    "first_block": _first_steps,
    "halved_first_block": _first_steps,
    "count_hits": lambda a: [min(a["walked"], math.ceil(a["outputs"] / a["M"]))],
    "start_backward": _pieces,
    "wgmma_conv": _walked,
    "wgmma_gradients": _walked,
    "weight_gradient": _pieces,
    "code_weight_gradient": _pieces,
    "halved_weight_gradient": _pieces,
    "sum_whole": lambda a: [math.ceil(a["parts"] / a["P"])] * a["HALVES"],
    # of the middle tap two, of a pair of mirrored taps four, which are taken for all
    "sum_halved": lambda a: [0.0] * 2 + [math.ceil(a["parts"] / a["P"])] * 4,
}


@dataclass(frozen=True)
class Program:
    """A compiled kernel: its code, and what a program of it takes of a multiprocessor."""

    code: Loop
    registers: int
    shared: int  # bytes
    warps: int

    @property
    def resident(self) -> int:
        """Programs that a multiprocessor holds at a time."""
        registers = -(-self.registers // 8) * 8 * WARP * self.warps
        return max(
            1,
            min(
                REGISTERS // registers,
                SHARED // (self.shared + 1024),
                THREADS // (WARP * self.warps),
                PROGRAMS,
            ),
        )


@dataclass(frozen=True)
class Cost:
    """A launch: seconds by limit, and what they are made of."""

    name: str
    programs: int
    instructions: float  # of a warp, of its longest loop's round or of all there are
    seconds: dict[str, float]

    @property
    def limit(self) -> str:
        return max(self.seconds, key=self.seconds.get)

    @property
    def time(self) -> float:
        return self.seconds[self.limit]


def launch_time(program: Program, trips: list[float], programs: int, moved: int) -> dict:
    """Seconds by limit of ``programs`` programs that move ``moved`` bytes."""
    one = count(program.code, trips, program.warps)
    fullest = math.ceil(programs / MULTIPROCESSORS)  # programs of one multiprocessor
    share = program.warps / SCHEDULERS
    cycles = {
        "issue": fullest * one.instructions * share,
        "alu": fullest * 2 * one.half_rate * share,
        "tensor": fullest * one.tensor,
        "port": fullest * one.port,
        "chain": math.ceil(fullest / program.resident) * one.chain,
    }
    seconds = {name: value / CLOCK for name, value in cycles.items()}
    return seconds | {"hbm": moved / BANDWIDTH, "launch": LEAST}


def step_of(program: Program) -> Count:
    """A round of the loop that has most instructions, or the whole kernel."""
    loops = program.code.loops
    if not loops:
        return count(program.code, [], program.warps)
    longest = max(loops, key=lambda loop: len(loop.body))
    trips = [1.0] * len(longest.loops)
    more = [count(Loop([longest]), [n, *trips], program.warps) for n in (4, 5)]
    values = zip(*(vars(count).values() for count in more), strict=True)
    return Count(*(after - before for before, after in values))
