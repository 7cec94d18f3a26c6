"""The kernels of the default model, compiled ahead of time, take no more registers' overflow and no
more shared memory than kernel_resources.tsv says, and what they take is there on the chip."""

import os
import subprocess
import sys

import pytest
from support.triton import needs_triton

pytestmark = needs_triton

TARGETS = ("sm_80", "sm_90")
SPILLED_AT_MOST = 16  # bytes a thread: one or two registers


@pytest.fixture(scope="module")
def table():
    import kernel_resources

    return kernel_resources


def compiled(target):
    """Rows of the table as compiled now, in a process of its own: one that interprets kernels
    cannot compile them."""
    command = [
        sys.executable,
        os.path.join(os.path.dirname(os.path.dirname(__file__)), "kernel_resources.py"),
        target,
    ]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TCNFAST_BACKEND": "triton"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()[1:]]


@pytest.mark.build
@pytest.mark.parametrize("target", TARGETS)
def test_kernels_take_what_the_table_says(table, target):
    known = {row[:4]: row[4:] for row in table.read_table() if row[:2] == (table.VERSION, target)}
    if not known:
        pytest.skip(f"kernel_resources.tsv knows nothing of Triton {table.VERSION}")
    now = {row[:4]: row[4:] for row in compiled(target)}
    assert now.keys() == known.keys(), "kernels or variants differ: write the table again"
    for key, (registers, spilled, shared) in now.items():
        assert int(registers) <= 255
        assert int(spilled) <= int(known[key][1]), f"{key} spills {spilled} bytes"
        assert int(shared) <= int(known[key][2]), f"{key} takes {shared} bytes of shared memory"


def test_the_table_holds_no_overflow_and_fits_the_chips(table):
    rows = table.read_table()
    assert {row[:2] for row in rows} >= {(v, t) for v in ("3.6", "3.9") for t in TARGETS}
    for version, target, kernel, variant, _, spilled, shared in rows:
        assert int(shared) <= table.SHARED[target], (version, target, kernel, variant)
        assert int(spilled) <= SPILLED_AT_MOST, (version, target, kernel, variant)
