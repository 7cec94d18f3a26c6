"""Files of strangers are data: nothing of them is run, nothing is written through their links."""

import ast
import os
from pathlib import Path

import pytest

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.file_names import file_names
from tcnfast.base.options import Run
from tcnfast.base.run_folder import LOCK, RunFolder
from tcnfast.base.tables import replace_file

PACKAGE = Path(tcnfast.__file__).parent
# what reads and runs, and the only files that may name it
DANGEROUS = {
    "pickle": {"scan/child.py"},
    "cPickle": set(),
    "dill": set(),
    "cloudpickle": set(),
    "joblib": set(),
    "marshal": set(),
    "shelve": set(),
    "yaml": set(),
    "eval": set(),
    "exec": set(),
}


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("kernels/"):
            yield name, ast.parse(path.read_text())


def names_of(tree):
    """Modules that are imported, and plain names that are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def calls_of(tree, *wanted):
    """(call, its keywords that are constants) of ``module.function`` calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            value = node.func.value
            name = f"{value.id}.{node.func.attr}" if isinstance(value, ast.Name) else ""
            if name in wanted:
                words = {x.arg: getattr(x.value, "value", None) for x in node.keywords}
                yield name, words


def test_nothing_in_the_package_runs_what_it_reads():
    found = {word: set() for word in DANGEROUS}
    for name, tree in sources():
        for word in set(names_of(tree)) & set(DANGEROUS):
            found[word].add(name)
    assert found == DANGEROUS


def test_arrays_and_weights_are_read_without_pickle():
    seen, loads = set(), set()
    for name, tree in sources():
        for call, words in calls_of(tree, "np.load", "numpy.load", "torch.load", "pickle.loads"):
            seen.add(call)
            if call == "torch.load":
                assert words.get("weights_only") is True, name
                loads.add(name)
            elif call.endswith("np.load"):
                # numpy's own default is False
                assert words.get("allow_pickle", False) is False, name
            elif call == "pickle.loads":
                assert name == "scan/child.py"
    assert {"np.load", "torch.load", "pickle.loads"} <= seen
    assert loads == {"windows/image_weights.py"}


@pytest.mark.checkout
def test_the_page_on_security_names_what_the_tests_allow():
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    for name in ("tcnfast/scan/child.py", "weights_only=True", "tests/base/test_security.py"):
        assert name in text


@pytest.mark.parametrize("label", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\b", "a\0b"])
def test_a_label_cannot_leave_its_folder(label):
    (name,) = file_names([label])
    assert "/" not in name and "\\" not in name and "\0" not in name
    assert (Path("out") / f"{name}.bw").parent == Path("out")


def unfinished(tmp_path):
    with pytest.raises(ZeroDivisionError), start(tmp_path) as folder:
        (folder.work / "deep").mkdir()
        raise ZeroDivisionError
    return folder.work


def start(tmp_path, **run):
    return RunFolder(tmp_path / "out", "test", Run(**run), key={"a": 1}, resumable=True)


@pytest.mark.parametrize("place", [LOCK, "result", "deep/x", "key.json.tmp", "."])
@pytest.mark.parametrize("how", ["resume", "force"])
def test_links_in_unfinished_work_are_not_followed(tmp_path, place, how):
    work = unfinished(tmp_path)
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "file").write_text("mine")
    link = work / place
    if place == ".":
        work.rename(tmp_path / "moved")
        work.symlink_to(tmp_path / "moved")
    else:
        if place == LOCK:
            link.unlink()
        link.symlink_to(treasure / "file" if place in (LOCK, "key.json.tmp") else treasure)
    with pytest.raises(TcnfastError, match="cannot be made|is a symbolic link"):
        start(tmp_path, **{how: True})
    assert (treasure / "file").read_text() == "mine" and os.listdir(treasure) == ["file"]


def test_a_file_is_not_written_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for name in ("a.json", "a.json.tmp"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    replace_file(tmp_path / "a.json", b"{}")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "a.json").read_bytes() == b"{}" and not (tmp_path / "a.json").is_symlink()
