"""The plan of the house holds: imports run one way, nothing goes round in circles, and files and
functions stay short. KNOWN lists what does not hold yet; it may only shrink."""

import ast
import importlib
import re
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import tcnfast

PACKAGE = Path(tcnfast.__file__).parent
TESTS = Path(__file__).parents[1]
NATIVE = "_C"  # the C++ engine, which imports nothing
LONGEST_FILE, LONGEST_FUNCTION, REPEATED = 400, 60, 12  # lines

# what each room may import from, beside itself
GROUND = {"base"}
MIDDLE = GROUND | {"engines", "genome", "kernels"}
FLOOR = MIDDLE | {"data", "model", "pwm"}  # what every verb stands on
ROOMS = {
    "base": set(),
    "genome": GROUND,
    "engines": GROUND | {"kernels"},
    "model": MIDDLE,
    "data": MIDDLE | {"model", "pwm"},
    "pwm": MIDDLE | {"model", "data"},
    "scan": FLOOR,
    "evaluate": FLOOR | {"scan"},
    "train": FLOOR | {"scan", "evaluate"},
    "attribute": FLOOR | {"scan"},
    "motifs": FLOOR | {"scan", "attribute"},
    "report": FLOOR | {"scan", "attribute", "motifs", "evaluate"},
    "variants": FLOOR | {"scan", "attribute"},
    "cobind": FLOOR | {"scan", "attribute", "motifs"},
    "bench": FLOOR,
    "export": FLOOR,
    "merge": FLOOR | {"scan", "attribute", "evaluate"},
    "doctor": FLOOR | {"scan", "attribute", "motifs", "variants"},
}
EVERYWHERE = set(ROOMS)
ROOMS |= {"windows": EVERYWHERE, "cli": EVERYWHERE | {"windows"}, "": EVERYWHERE | {"windows"}}

KNOWN: set[str] = set()


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name without ``tcnfast.``; the package itself is ''."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] != "kernels":  # a folder of its own, linked into the package
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text())
    return found


def is_package(name):
    return not name or (PACKAGE / name.replace(".", "/")).is_dir()


def module_of(name, alias):
    """The module that ``from name import alias`` makes run."""
    inner = f"{name}.{alias}" if name else alias
    return inner if inner in modules() else name


def imported(name, node):
    """Modules of the package that an import statement in module ``name`` asks for."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        return [n.partition(".")[2] for n in names if n.split(".")[0] == "tcnfast"]
    if node.level == 0:
        if not node.module or node.module.split(".")[0] != "tcnfast":
            return []
        source = node.module.partition(".")[2]
    else:
        here = name.split(".") if name else []
        up = node.level - is_package(name)
        source = ".".join([*here[: len(here) - up], *filter(None, [node.module])])
    return [module_of(source, alias.name) for alias in node.names if alias.name != NATIVE]


def imports(name, lazy=True):
    """(imported module, line) of each import of a module; without ``lazy`` those that run as it is
    imported."""
    left = [modules()[name]]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((other, node.lineno) for other in imported(name, node))
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checked = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if lazy or not (inner or checked):
            left.extend(ast.iter_child_nodes(node))


def room_of(name):
    return name.split(".")[0]


def arrows_against_the_direction():
    for name in modules():
        room = room_of(name)
        for other, _ in imports(name):
            target = room_of(other)
            if name.count(".") == 0 and name in ("__main__", "cli"):
                continue  # the command line may import any room
            if target == "cli" and name.endswith("__main__"):
                continue
            if target != room and target not in ROOMS.get(room, EVERYWHERE):
                yield f"{name} imports {other or 'the top of the package'}"


def circles():
    """Modules that import one another as they are imported, one entry for each knot."""
    graph = {name: {other for other, _ in imports(name, lazy=False)} for name in modules()}
    reach = {}
    for start in graph:
        seen, left = set(), list(graph[start])
        while left:
            other = left.pop()
            if other not in seen:
                seen.add(other)
                left.extend(graph.get(other, ()))
        reach[start] = seen
    knots = {
        tuple(sorted(other for other in reach[name] if name in reach.get(other, ())))
        for name in graph
        if name in reach[name]
    }
    return [f"circle of {', '.join(name or 'tcnfast' for name in knot)}" for knot in knots]


def namesakes():
    names = Counter(path.name for path in PACKAGE.rglob("*.py") if "kernels" not in path.parts)
    return [f"{n} files {name}" for name, n in names.items() if n > 1 and name[:2] != "__"]


def at_the_top():
    allowed = {"__init__", "__main__", "cli"}
    return [f"{path.name} at the top" for path in PACKAGE.glob("*.py") if path.stem not in allowed]


def long_files():
    for path in sorted(PACKAGE.rglob("*.py")):
        if len(path.read_text().splitlines()) > LONGEST_FILE:
            yield f"long file {path.relative_to(PACKAGE)}"


def long_functions():
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                    yield f"long function {name}.{node.name}"
    for path in (PACKAGE / "kernels").glob("*.py"):  # but for their parameters: see lines_of_code
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                if node.end_lineno - node.body[0].lineno >= LONGEST_FUNCTION:
                    yield f"long function kernels.{node.name}"


def lines_of_code(path):
    """Stripped; without imports and, of the kernels, without parameters. A kernel of halved form
    takes 14 to 20 of the parameters of its plain twin, in the same order, and has another body.
    Each writes out its own: launches pass every argument by name and tests/ptx finds parameters by
    their places, so a tuple of them would only hide which ones a kernel reads."""
    lines = path.read_text().splitlines()
    if "kernels" in path.parts:
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef):
                for i in range(node.lineno - 1, node.body[0].lineno - 1):
                    lines[i] = ""
    stripped = [line.strip() for line in lines]
    return [x for x in stripped if x and not x.startswith(("#", "import ", "from "))]


def repeated_lines(package=PACKAGE):
    """More than REPEATED lines of code in a row that two files share."""
    first = {}
    for path in sorted({*package.rglob("*.py"), *(package / "kernels").glob("*.py")}):
        code = lines_of_code(path)
        for i in range(len(code) - REPEATED):
            other = first.setdefault(tuple(code[i : i + REPEATED + 1]), path)
            if other != path:
                yield f"repeated lines {other.name}, {path.name}"


def test_the_plan_holds():
    """Entries of KNOWN that hold by now have to be taken out."""
    found = {*arrows_against_the_direction(), *circles(), *namesakes(), *at_the_top()}
    found |= {*long_files(), *long_functions(), *repeated_lines()}
    assert sorted(found - KNOWN) == [], "new: see the plan in CONTRIBUTING.md"
    assert sorted(KNOWN - found) == [], "mended: take it out of KNOWN"


def test_lines_that_two_files_share_are_found(tmp_path):
    lines = [f"x{i} = {i}" for i in range(REPEATED + 1)]
    for name, mine in (("a.py", lines), ("b.py", ["y = 0", *lines]), ("c.py", lines[1:])):
        (tmp_path / name).write_text("\n".join(mine))
    assert list(repeated_lines(tmp_path)) == ["repeated lines a.py, b.py"]


def test_lines_that_two_kernels_share_are_found_but_for_their_parameters(tmp_path):
    (tmp_path / "kernels").mkdir()
    parameters = "\n".join(f"    x{i}," for i in range(REPEATED + 1))
    for name, lines in (("a.py", REPEATED), ("b.py", REPEATED), ("c.py", REPEATED + 1)):
        body = "\n".join(f"    y{i} = 0" for i in range(lines))
        text = f"def {name[0]}(\n{parameters}\n):\n{body}\n"
        (tmp_path / "kernels" / name).write_text(text)
    assert list(repeated_lines(tmp_path)) == []
    text = (tmp_path / "kernels" / "c.py").read_text()
    (tmp_path / "kernels" / "d.py").write_text(text.replace("def c", "def d"))
    assert list(repeated_lines(tmp_path)) == ["repeated lines c.py, d.py"]


def test_no_test_imports_another():
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith("test_"), f"{path.name} imports {node.module}"


def test_what_reads_a_checkout_says_so():
    """make wheel-check runs all tests that do not say it beside a wheel alone."""
    reads = re.compile(r"\.parents\[2\]|PACKAGE\.parent\b|^\s*(from|import) benchmarks\b", re.M)
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        assert "mark.checkout" in text or not reads.search(text), path.name


@pytest.mark.checkout
def test_no_file_of_the_checkout_is_long():
    """Of tests, benchmarks, examples and the C++ engine, as of the package."""
    root, kinds = PACKAGE.parent, {".py", ".h", ".cpp"}
    folders = ("tests", "benchmarks", "examples", "csrc", "docs/site")
    paths = [path for name in folders for path in (root / name).rglob("*") if path.suffix in kinds]
    assert len(paths) > 300
    long = [x for x in paths if len(x.read_text().splitlines()) > LONGEST_FILE]
    assert not long


@pytest.mark.checkout
def test_examples_and_benchmarks_import_what_there_is():
    root, wrong = PACKAGE.parent, []
    for path in (*root.glob("examples/**/*.py"), *root.glob("benchmarks/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tcnfast"):
                module = importlib.import_module(node.module)
                for name in {alias.name for alias in node.names} - set(vars(module)):
                    package = hasattr(module, "__path__")
                    if not package or find_spec(f"{node.module}.{name}") is None:
                        wrong.append(f"{path.relative_to(root)}: {node.module}.{name}")
    assert not wrong
