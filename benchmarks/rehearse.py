"""Runs a benchmark in Triton's interpreter, mended as the tests mend it:
`python -m benchmarks.rehearse benchmarks.kernels.device ...`."""

import os
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ["TRITON_INTERPRET"] = "1"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.interpreter import mended

    name = sys.argv[1]
    sys.argv = sys.argv[1:]
    with mended():
        runpy.run_module(name, run_name="__main__", alter_sys=False)
