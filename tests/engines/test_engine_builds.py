"""Builds of the engine other than the one installed: with sanitizers and emulated AMX tiles, with
every warning an error, with an old compiler, for another processor.

Each goes through setup.py. A script stands for the compiler and changes the flags.
"""

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.engine import ENGINES, ISAS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "csrc" / "cpu").glob("*.cpp"))
CXX = shutil.which(os.environ.get("CXX", "g++"))
X86 = platform.machine() in ("x86_64", "AMD64")
CROSS = shutil.which("aarch64-linux-gnu-g++")

pytestmark = [
    pytest.mark.checkout,
    pytest.mark.build,
    pytest.mark.skipif(CXX is None, reason="there is no C++ compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="the builds of this file are for Linux"),
]


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


# The bindings, pybind11's templates, take longer to compile than all the rest: once, plainly.
COMPILER = """#!/bin/bash
args=()
out=
for arg; do
  case $arg in
    {refused}) echo "unrecognized option '$arg'" >&2; exit 1;;
    -O3) args+=({optimise});;
    -g) ;;
    *) args+=("$arg");;
  esac
  [[ $previous == -o ]] && out=$arg
  [[ $arg == csrc/* ]] && source=$arg
  previous=$arg
done
if [[ $source == csrc/bindings* ]]; then
  kept={cache}/${{source##*/}}.o
  [[ -e $kept ]] || {cxx} "${{args[@]}}" -O0 -o $kept || exit 1
  cp $kept "$out"
else
  exec {cxx} "${{args[@]}}" {extra}
fi
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """build(extra, optimise, refused): what setup.py makes of a compiler with these flags added,
    this for -O3, and those refused. The path of the extension, and the folder of its objects."""
    cache = tmp_path_factory.mktemp("bindings")

    def build(extra="", optimise="-O1", refused="nothing"):
        folder = tmp_path_factory.mktemp("build")
        script = folder / "c++"
        parts = dict(extra=extra, optimise=optimise, refused=refused, cache=cache, cxx=CXX)
        script.write_text(COMPILER.format(**parts))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, "setup.py", "-q", "build_ext"]
        command += ["--build-lib", folder / "lib", "--build-temp", folder / "objects"]
        environment = {**os.environ, "CC": str(script), "CXX": str(script)}
        environment |= {"LDSHARED": f"{script} -shared", "LDCXXSHARED": f"{script} -shared"}
        done = run(command, cwd=ROOT, env=environment)
        built = list((folder / "lib").rglob("_C*.so"))
        assert built, done.stdout + done.stderr
        return built[0], folder / "objects"

    return build


def reasons(built):
    """Instruction sets of a build and why they cannot run; an extension is loaded once a process"""
    script = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("tcnfast._C", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(module.isas()))
"""
    return dict(json.loads(run([sys.executable, "-c", script, built]).stdout))


def library(name):
    """A library of the compiler, or a skip where it has none."""
    found = run([CXX, f"-print-file-name={name}"]).stdout.strip()
    if not os.path.isabs(found):
        pytest.skip(f"{CXX} has no {name}")
    return found


def test_memory_is_safe_and_emulated_amx_gives_the_numbers(build):
    preload = f"{library('libasan.so')} {library('libubsan.so')}"
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -DTCNFAST_EMULATED_AMX"
    built, _ = build(extra=flags)
    done = run(
        [sys.executable, ROOT / "tests" / "engine_sweep.py", built],
        env={**os.environ, "LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0"},
        cwd=ROOT,
    )
    ran = [tuple(line.split()) for line in done.stdout.splitlines()]
    assert set(ran) >= set(ENGINES)
    if "avx512_bf16" in ISAS:
        assert ("amx", "bf16") in ran


@pytest.fixture(scope="module")
def as_released(build):
    """The folder of objects built as a release is, with every warning an error."""
    return build(extra="-Werror", optimise="-O3")[1]


def test_the_sources_compile_without_a_warning(as_released):
    built = {path.stem for path in as_released.rglob("csrc/cpu/*.o")}
    assert built == {path.stem for path in SOURCES}


@pytest.mark.skipif(not X86, reason="AMX belongs to x86-64")
def test_the_tile_configuration_is_whole_in_memory(as_released):
    """GCC 12 takes ldtilecfg for a reader of 8 bytes, and drops what a function stores in others"""
    known = [CXX, "-mamx-tile", "-mamx-bf16", "-x", "c++", "-E", "/dev/null"]
    if subprocess.run(known, capture_output=True).returncode:
        pytest.skip(f"{CXX} does not know AMX")
    rows, row_bytes = bytes([16] * 8), b"\x40\0" * 8
    configuration = b"\1".ljust(16, b"\0") + row_bytes.ljust(32, b"\0") + rows.ljust(16, b"\0")
    (amx,) = as_released.rglob("amx.o")
    found = configuration in amx.read_bytes()
    assert found, "ldtilecfg would read what nobody wrote: make the configuration static constexpr"


@pytest.mark.skipif(not X86, reason="these instructions belong to x86-64")
def test_a_compiler_that_knows_less_builds_less(build):
    built, _ = build(optimise="-O0", refused="-mamx-tile|-mavx512bf16")
    found = reasons(built)
    unknown = "the compiler of this build did not know it"
    for isa in ("amx", "avx512_bf16"):
        absent = "this processor does not have it"
        assert found[isa] == unknown if isa in ISAS else found[isa] in (unknown, absent)
    rest = [isa for isa in ISAS if isa not in ("amx", "avx512_bf16")]
    assert [isa for isa, reason in found.items() if not reason] == rest


@pytest.mark.skipif(CROSS is None, reason="there is no aarch64-linux-gnu-g++")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_compiles_for_arm64(tmp_path, source):
    flags = [
        "-std=c++17",
        "-O2",
        "-fPIC",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-maybe-uninitialized",
    ]
    run([CROSS, *flags, "-c", source, "-o", tmp_path / "object.o"])
