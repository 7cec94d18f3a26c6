"""A process that compiles kernels with its Triton and runs them in the executor.

A process of its own, since Triton either interprets all kernels of a process, as the tests here do,
or compiles them; and since the environment that TCNFAST_TRITON names has another Triton. Run as a
program it answers lines of JSON, [function of cases.py, arguments by name], by lines of JSON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# Python of an environment with another Triton (3.6 beside 3.9), which has what the tests need
OTHER = "TCNFAST_TRITON"


class Worker:
    def __init__(self, python=sys.executable):
        paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TCNFAST_BACKEND": "triton",
            "CUDA_VISIBLE_DEVICES": "",
        }
        environment.pop("TRITON_INTERPRET", None)
        self._process = subprocess.Popen(
            [python, "-m", "ptx.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.version = self._answer()

    def __call__(self, function, **arguments):
        """What ``cases.function(**arguments)`` returns."""
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self._process.wait()}")
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    import torch
    import triton

    torch.set_num_threads(1)

    def answer(what):
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    answer(triton.__version__)
    import traceback

    from ptx import cases

    for line in sys.stdin:
        name, arguments = json.loads(line)
        torch.manual_seed(0)
        try:
            answer({"result": getattr(cases, name)(**arguments)})
        except Exception:
            answer({"error": traceback.format_exc()})


if __name__ == "__main__":
    main()
