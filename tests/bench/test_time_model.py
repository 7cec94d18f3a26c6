"""The model of the GPU kernels' time: what it reads in machine code, and its arithmetic."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.triton import needs_triton

pytestmark = [pytest.mark.checkout, needs_triton]

ROOT = Path(__file__).resolve().parents[2]

NOTHING = 7 << 5 | 7 << 8  # sets no scoreboard


def text_of(*lines):
    """As nvdisasm prints: labels, and instructions (text, control bits)."""
    printed, at = [], 0
    for line in lines:
        if isinstance(line, str):
            printed.append(f"{line}:")
            continue
        words, control = line
        printed.append(f"        /*{at:04x}*/    {words} ;   /* 0x{0:016x} */")
        printed.append(f"                         /* 0x{control << 41:016x} */")
        at += 16
    return "\n".join(printed)


def stall(cycles, result=7, operands=7, waits=()):
    return cycles | result << 5 | operands << 8 | sum(1 << i for i in waits) << 11


LOOP = text_of(
    ("LDC R1, c[0x0][0x28]", stall(2)),
    ".L_0",
    ("LDG.E.128 R4, desc[UR4][R2.64]", stall(1, result=0)),
    ("STS.128 [R9], R4", stall(3, waits=[0])),
    ("BAR.SYNC.DEFER_BLOCKING 0x0", stall(5)),
    ("WARPGROUP.ARRIVE", stall(1)),
    ("HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4].tnspB, RZ, !UPT", stall(4)),
    ("HGMMA.64x64x16.F32.BF16 R24, R8, gdesc[UR4].tnspB, R24, gsb0", stall(4)),
    ("WARPGROUP.DEPBAR.LE gsb0, 0x0", stall(2)),
    ("@P0 BRA `(.L_0)", stall(5)),
    ("EXIT", stall(5)),
    (".L_1", stall(1)),
    ("BRA `(.L_1)", stall(1)),
)


@pytest.fixture
def sass():
    from benchmarks.kernels import sass

    return sass


def test_a_loop_is_counted_as_often_as_it_runs(sass):
    kernel = sass.parse(LOOP)
    assert len(kernel.loops) == 1
    one, ten = (sass.count(kernel, [n], warps=4) for n in (1, 10))
    assert (one.instructions, ten.instructions) == (10, 82)
    assert (one.barriers, ten.barriers) == (1, 10)
    # two products of 64 columns; first operands of one of them are registers
    assert (one.tensor, ten.tensor) == (64, 640)
    store, products = 4 * 32 * 16 / 128, (64 + 64) * 32 / 128 + 64 * 32 / 128
    assert (one.port, ten.port) == (store + products, 10 * (store + products))


def test_the_chain_is_the_time_of_a_warp_by_itself(sass):
    load, barrier, product = sass.LATENCY["LDG"], sass.BARRIER, sass.PRODUCT
    first, last = 2, 5
    until_products = load + 3 + (barrier + 5) + 1
    products = 64 + product  # waited for from the issue of the first
    one_round = until_products + products + 2 + 5
    for rounds in (1, 2, 10, 1000):
        found = sass.count(sass.parse(LOOP), [rounds], warps=4)
        assert found.chain == first + rounds * one_round + last


def test_loads_that_are_under_way_together_are_waited_for_once(sass):
    loads = [("LDG.E R4, desc[UR4][R2.64]", stall(1, result=board)) for board in range(4)]
    use = ("FADD R4, R4, R5", stall(4, waits=range(4)))
    kernel = sass.parse(text_of(*loads, use, ("EXIT", stall(1))))
    found = sass.count(kernel, [], warps=4)
    assert found.chain == 3 + sass.LATENCY["LDG"] + 4 + 1
    assert (found.half_rate, found.instructions) == (0, 6)


def test_loops_lie_in_loops_and_subroutines_do_not_count(sass):
    kernel = sass.parse(
        text_of(
            ".L_0",
            ("IADD3 R1, R1, 0x1, RZ", stall(1)),
            ".L_1",
            ("LOP3.LUT R2, R2, 0x7, RZ, 0xc0, !PT", stall(1)),
            ("@P1 BRA `(.L_1)", stall(1)),
            ("@P0 BRA `(.L_0)", stall(1)),
            ("@P2 BRA `(.L_2)", stall(1)),
            ("@P3 EXIT", stall(1)),
            ".L_2",
            ("EXIT", stall(1)),
            ("MUFU.RCP R1, R1", stall(1)),
            ("RET.REL.NODEC R2", stall(1)),
        )
    )
    found = sass.count(kernel, [3, 5], warps=4)
    assert found.instructions == 3 * (2 + 5 * 2) + 3
    assert found.half_rate == 3 * (1 + 5)


def test_products_of_one_warp(sass):
    kernel = sass.parse(
        text_of(("HMMA.16816.F32.BF16 R4, R8, R12, R4", stall(2)), ("EXIT", stall(1)))
    )
    assert sass.count(kernel, [], warps=8).tensor == pytest.approx(8 / 0.62)


def test_the_longest_limit_is_the_time(sass):
    program = sass.Program(sass.parse(LOOP), registers=216, shared=90_112, warps=4)
    assert program.resident == 2  # by registers, and by shared memory
    rounds, waves = 100, 3
    one = sass.count(program.code, [rounds], 4)
    times = sass.launch_time(program, [rounds], 132 * 4 + 1, 43_000_000)
    assert times["tensor"] == pytest.approx(5 * 64 * rounds / sass.CLOCK)
    assert times["chain"] == pytest.approx(waves * one.chain / sass.CLOCK)
    assert times["hbm"] == pytest.approx(10e-6)
    cost = sass.Cost("a", 1, 1.0, times)
    assert cost.limit == "chain" and cost.time == times["chain"]


def test_a_program_of_few_registers_is_held_by_threads(sass):
    program = sass.Program(sass.parse(LOOP), registers=32, shared=0, warps=8)
    assert program.resident == 8


def test_a_step_is_a_round_of_the_longest_loop(sass):
    program = sass.Program(sass.parse(LOOP), registers=32, shared=0, warps=4)
    found = sass.step_of(program)
    assert (found.instructions, found.tensor, found.barriers) == (8, 64, 1)


def test_operators_that_launch_something_are_noted():
    import torch

    from benchmarks.kernels import time_model

    with time_model.noted() as seen:
        x = torch.empty(4, 8, device="meta")
        (x.T.reshape(-1)[:16] + 1).mul_(2)
    # what is transposed is copied
    assert [(one.name, one.bytes) for one in seen] == [
        ("clone", 2 * 128),
        ("add", 2 * 64),
        ("mul_", 2 * 64),
    ]


def compiling(*command):
    """What a Python process prints that compiles kernels, as those here interpret them."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SEGMENT = """
import json
from benchmarks.kernels import time_model

seen, bases = time_model.segment(32, symmetric=False)
kernels = [one for one in seen if isinstance(one, time_model.Kernel)]
first = kernels[0]
rows = first.arguments["y"]
size = first.arguments["codes"].numel() + 2 * rows.numel()
print(json.dumps([bases, [one.name for one in kernels], first.bytes - size, first.programs]))
"""


def test_a_scan_launches_its_kernels_on_both_strands():
    bases, names, weights, programs = json.loads(compiling("-c", SEGMENT))
    assert bases == 2**23
    assert names.count("first_block") == 2
    assert 0 < weights < 2**16
    assert programs > 132


@pytest.mark.build
def test_what_was_compiled_is_read():
    lines = compiling("-m", "benchmarks.kernels.time_model", "sparse", "--launches").splitlines()
    row = next(line for line in lines if line.startswith("| wgmma_block | "))
    steps, limits, time = row.split(" | ")[3:6]
    assert all(300 < int(step) < 1500 for step in steps.split("-"))
    assert limits and 10 < int(time.rstrip(" |")) < 100_000
    assert lines[-1].startswith("| hg38, both strands, stride 32, plain | ")
    assert any(line.startswith("wgmma_block ") and " tensor " in line for line in lines)
