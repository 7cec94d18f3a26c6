"""The package as it is installed: what a wheel holds, and what importing it costs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tcnfast

PACKAGE = Path(tcnfast.__file__).parent
ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package unpacked from a wheel built of this tree, away from it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # in a copy of the tracked files: setuptools leaves folders behind. By way of the sdist, which
    # must hold all that a build needs
    names = run("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists() and name.split("/")[0] not in ("tests", "benchmarks"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    run(sys.executable, "setup.py", "-q", "sdist", "-d", str(folder), cwd=source)
    (sdist,) = folder.glob("tcnfast-*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run(*pip, "-w", str(folder), str(sdist))
    (built,) = folder.glob("tcnfast-*.whl")
    zipfile.ZipFile(built).extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.checkout
@pytest.mark.build
def test_a_wheel_holds_the_package_kernels_and_models(wheel):
    assert (wheel / "tcnfast" / "kernels" / "__init__.py").exists()
    assert not (wheel / "kernels").exists(), "kernels is somebody else's name at the top level"
    assert (wheel / "tcnfast" / "py.typed").exists()
    assert not (wheel / "tests").exists() and not (wheel / "csrc").exists()
    if shutil.which("c++"):
        assert list((wheel / "tcnfast").glob("_C.*"))
    bundled = {p.name for p in (ROOT / "tcnfast" / "model" / "bundled").glob("*/*")}
    assert bundled == {p.name for p in (wheel / "tcnfast" / "model" / "bundled").glob("*/*")}


@pytest.mark.checkout
@pytest.mark.build
def test_an_installed_wheel_imports_and_runs(wheel):
    code = "import tcnfast, tcnfast.kernels; print(tcnfast.__file__); print(tcnfast.TCN.__name__)"
    lines = run(sys.executable, "-c", code, cwd=wheel, env={"PYTHONPATH": str(wheel)}).split()
    assert Path(lines[0]).parent == wheel / "tcnfast"
    assert lines[1] == "TCN"


def test_bundled_models_are_small_and_hold_no_pickle():
    for model in (PACKAGE / "model" / "bundled").iterdir():
        files = list(model.iterdir())
        assert sum(path.stat().st_size for path in files) <= 1.5e6
        assert {path.suffix for path in files} <= {".safetensors", ".json", ".tsv", ".md"}


def test_a_scan_starts_without_what_only_compiling_needs():
    """PyTorch's compiler takes as long to import as all the rest."""
    code = "import sys, tcnfast.scan.scan_genome, tcnfast.model.tcn; print(*sys.modules)"
    names = run(sys.executable, "-c", code).split()
    assert "torch" in names and "torch._dynamo" not in names


def test_every_public_name_resolves():
    for name in tcnfast.__all__:
        assert getattr(tcnfast, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tcnfast.nothing  # noqa: B018
