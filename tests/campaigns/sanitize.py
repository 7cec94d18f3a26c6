"""The engine and its bindings under sanitizers of the compiler: odd shapes on every instruction set
of this machine, then the tests of the engine, all against a build of its own.

    python tests/campaigns/sanitize.py              AddressSanitizer and UndefinedBehaviorSanitizer
    python tests/campaigns/sanitize.py --threads    ThreadSanitizer, on the sweep of odd shapes

The build stays in build/campaigns, and is made anew where a source is newer. ThreadSanitizer does
not know the locks of GCC's OpenMP: its build uses the engine's own threads, the path of processes
that were forked. Further words go to pytest.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from ledger import FOLDER, ROOT, Ledger

FLAGS = {
    "address": "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer",
    "thread": "-fsanitize=thread -fno-omit-frame-pointer",
}
LIBRARIES = {"address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # PyTorch and Python are not built for it, and their own threads look like races
    "TSAN_OPTIONS": "report_signal_unsafe=0 exitcode=66 ignore_noninstrumented_modules=1",
}
COMPILER = """#!/bin/bash
args=()
for arg; do
  case $arg in
    -O3) args+=(-O1);;
    -g) args+=(-g1);;
    -fopenmp) {openmp};;
    *) args+=("$arg");;
  esac
done
exec {cxx} "${{args[@]}}" {flags}
"""
TESTS = """arguments engine engine_bits engine_choice engine_outputs gradients halved lists ops
    ops_planted ops_symmetric path plan substitutions symmetric"""


def build(kind: str) -> Path:
    """The extension with the sanitizers of ``kind``."""
    folder = FOLDER / f"engine-{kind}"
    sources = [path for path in (ROOT / "csrc").rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in sources)
    for path in folder.glob("lib/**/_C*.so"):
        if path.stat().st_mtime > newest:
            return path
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = folder / "c++"
    cxx = shutil.which(os.environ.get("CXX", "g++"))
    openmp = ":" if kind == "thread" else 'args+=("$arg")'
    script.write_text(COMPILER.format(cxx=cxx, flags=FLAGS[kind], openmp=openmp))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    command += ["--build-lib", str(folder / "lib"), "--build-temp", str(folder / "objects")]
    linker = {name: f"{script} -shared" for name in ("LDSHARED", "LDCXXSHARED")}
    environment = {**os.environ, "CC": str(script), "CXX": str(script), **linker}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return next(folder.glob("lib/**/_C*.so"))


def under(kind: str, words: list[object]) -> tuple[int, str]:
    """Exit code and output of Python with the libraries of the sanitizers."""
    found = []
    for name in LIBRARIES[kind]:
        command = ["g++", f"-print-file-name={name}"]
        found.append(subprocess.run(command, capture_output=True, text=True).stdout.strip())
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": " ".join(found)}
    command = [sys.executable, *map(str, words)]
    if kind == "thread":  # its memory may lie where addresses are drawn by chance
        command = ["setarch", platform.machine(), "-R", *command]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.returncode, done.stdout.decode(errors="replace")


def inside(extension: str, words: list[str]) -> int:
    """pytest with the extension in the place of the installed one."""
    from engine_sweep import use_build

    use_build(extension)
    import pytest

    quiet = "ignore::pytest.PytestAssertRewriteWarning"  # of modules that are imported already
    return pytest.main(["-q", "-p", "no:cacheprovider", "-W", quiet, *words])


def main() -> int:
    words = argparse.ArgumentParser(description="the engine under sanitizers")
    words.add_argument("--threads", action="store_true")
    words.add_argument("--inside", help=argparse.SUPPRESS)
    asked, rest = words.parse_known_args()
    if asked.inside:
        return inside(asked.inside, rest)
    kind = "thread" if asked.threads else "address"
    ledger, extension = Ledger(f"sanitize-{kind}", anew=True), build(kind)
    runs: dict[str, list[object]] = {"odd shapes": [ROOT / "tests/engine_sweep.py", extension]}
    if kind == "address":
        tests = [f"tests/engines/test_{name}.py" for name in TESTS.split()]
        runs["tests"] = [__file__, "--inside", extension, *(rest or tests)]
    for name, command in runs.items():
        code, text = under(kind, command)
        print(text[-3000:], flush=True)
        passed = re.search(r"(\d+) passed", text)
        if name == "odd shapes":
            ledger.put(name, sets=len(re.findall(r"(?m)^\w+ (?:fp32|bf16)$", text)))
        else:
            ledger.put(name, passed=int(passed[1]) if passed else 0)
        if code or "ERROR: " in text or "WARNING: ThreadSanitizer" in text:
            at = max(0, text.find("Sanitizer") - 500)
            ledger.fault(f"{name}: exit code {code}: {text[at : at + 3500]}")
    return ledger.show()


if __name__ == "__main__":
    sys.exit(main())
