"""Every writer of the package says which file a full disk left unwritten, and how much is free."""

import ast
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from full_disk import FullDisk

import tcnfast
from tcnfast.base import disk
from tcnfast.base.disk import save_array, save_arrays, write_text, writing

PACKAGE = Path(tcnfast.__file__).parent
WRITERS = {"write_text", "write_bytes", "to_csv", "write_table", "copyfile", "copyfileobj"}
WRITERS |= {"save", "savez", "savez_compressed", "save_file", "ParquetWriter", "File"}
# what says it in words of its own, or writes to an unnamed file or for one that can do without
OWN_WORDS = {
    "base/disk.py": "it is what the others call",
    "base/input_files.py": "a temporary file of what a pipe held",
    "base/lock_file.py": "the lock, which a full disk does not stop",
    "base/node_files.py": "a lock, which stays empty",
    "base/tables.py": "replace_file, which renames",
    "genome/fasta_index.py": "an index that cannot be written is kept in memory",
    "genome/twobit_write.py": "names the .2bit for its parts",
    "scan/bigbed.py": "looks for room before, and changes two bytes of what is there",
    "scan/track_bigwig.py": "room is held before, and cut afterwards",
    "train/checkpoint.py": "a checkpoint, which is renamed",
    "windows/kept_features.py": "in memory, for replace_file",
}
MODULES = {"np", "numpy", "shutil", "parquet", "pyarrow", "h5py", "torch", "path", "file"}


def writes(call):
    """What a call writes with, or None."""
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        if ast.unparse(call.args[0]) == "os.devnull":
            return None
        modes = [x.value for x in call.args[1:2] if isinstance(x, ast.Constant)]
        return "open" if modes and set("wax+") & set(modes[0]) else None
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in WRITERS:
        return None
    if call.func.attr in ("save", "File"):  # also what networks and folders are asked for
        owner = call.func.value
        return call.func.attr if isinstance(owner, ast.Name) and owner.id in MODULES else None
    if call.func.attr == "to_csv":  # without a path it is a text
        return "to_csv" if call.args else None
    return call.func.attr


def unguarded(tree, inside=False):
    """Calls that write and stand in no block ``with writing(...)``: line and name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and writes(node) and not inside:
            yield node.lineno, writes(node)
        if isinstance(node, ast.With):
            guarded = inside
            for item in node.items:  # one block, from the left to the right
                if not guarded:
                    yield from unguarded(ast.Expression(item.context_expr))
                call = item.context_expr
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "writing":
                    guarded = True
            for line in node.body:
                yield from unguarded(ast.Module([line], []), guarded)
        else:
            yield from unguarded(node, inside)


def test_every_writer_is_named_where_the_disk_is_full():
    found, without = {}, set(OWN_WORDS)
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("kernels/"):
            continue
        places = list(unguarded(ast.parse(path.read_text())))
        if places and name in OWN_WORDS:
            without.discard(name)
        elif places:
            found[name] = places
    assert found == {} and without == set()


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("with open('x', 'w') as file: pass", True),
        ("with writing('x'), open('x', 'w') as file: pass", False),
        ("with open('x', 'w') as file, writing('x'): pass", True),
        ("with writing('x'):\n    np.save('x', 1)", False),
        ("np.save('x', 1)", True),
        ("path.write_text('x')", True),
        ("write_text(path, 'x')", False),
        ("open('x', 'rb')", False),
    ],
)
def test_the_rule_sees_what_it_is_for(line, wrong):
    assert bool(list(unguarded(ast.parse(line)))) is wrong


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WRITE = {
    "a text": (lambda path: write_text(path, "x" * 5000), r"5,000 bytes are needed, "),
    "an array": (lambda path: save_array(path, np.zeros(1000)), r"8,128 bytes are needed, "),
    "arrays": (lambda path: save_arrays(path, {"a": np.arange(9_000)}), ""),
}


@pytest.mark.parametrize("what", WRITE)
@pytest.mark.parametrize("room", [0, 300])
def test_a_full_disk_is_told_with_file_and_bytes(tmp_path, monkeypatch, what, room):
    write, needed = WRITE[what]
    path = tmp_path / "file"
    monkeypatch.setattr(disk, "open", lambda *x: FullDisk(open(*x), room), raising=False)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=rf"No space left on device \({needed}[\d,]+ bytes") as error:
        write(path)
    assert error.value.filename == str(path) and error.value.errno == errno.ENOSPC


def test_other_errors_stay_as_they_are_and_the_inner_file_is_told(tmp_path):
    with pytest.raises(OSError, match="Input/output") as error, writing(tmp_path / "a"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert error.value.filename is None
    with pytest.raises(OSError, match="free") as error, writing(tmp_path / "a"):
        with writing(tmp_path / "inner", 7):
            full()
    assert error.value.filename == str(tmp_path / "inner")
    assert str(error.value).count("free") == 1
