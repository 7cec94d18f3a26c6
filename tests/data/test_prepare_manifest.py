"""Manifests: columns, paths, and what is wrong with a row."""

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.data.manifest import read_manifest


@pytest.fixture
def write(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.bed", "b.bed", "sub/c.bed", "with blank.bed"):
        (tmp_path / name).write_text("chr1\t1\t2\n")

    def write(text):
        (tmp_path / "m.tsv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "m.tsv"

    return write


def rows(path):
    return [
        (x.label, str(x.path.relative_to(path.parent)), x.ambiguous and x.ambiguous.name)
        for x in read_manifest(path)
    ]


@pytest.mark.parametrize(
    "text, want",
    [
        ("CTCF\ta.bed\n", [("CTCF", "a.bed", None)]),
        ("CTCF\ta.bed\tb.bed\tK562\r\n", [("CTCF@K562", "a.bed", "b.bed")]),
        ("\n# talk\nCTCF\ta.bed\t\tK562\n\n", [("CTCF@K562", "a.bed", None)]),
        ("CTCF\ta.bed\t.\t.\n", [("CTCF", "a.bed", None)]),
        ("#label\tpath\nX\twith blank.bed\n", [("X", "with blank.bed", None)]),
        ("Path\tLabel\tbatch\na.bed\tX\t7\n", [("X", "a.bed", None)]),
        ("X\ta.bed\nX\tsub/c.bed\n", [("X", "a.bed", None), ("X", "sub/c.bed", None)]),
        (b"\xef\xbb\xbflabel\tpath\nX\ta.bed\n", [("X", "a.bed", None)]),
    ],
)
def test_manifests(write, want, text):
    assert rows(write(text)) == want


def test_absolute_paths(write, tmp_path):
    assert read_manifest(write(f"X\t{tmp_path / 'a.bed'}\n"))[0].path == tmp_path / "a.bed"


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ": is empty"),
        ("label\tpath\n", ":1: names columns, but no peak file follows"),
        ("CTCF a.bed\n", ":1: 1 column; needs label and path, with a tab"),
        ("X\ta.bed\n\tb.bed\n", ":2: empty label"),
        ("X\ta.bed\nY\t\n", ":2: empty path"),
        ("X\ta.bed\nY\tnone.bed\n", ":2: no file .*none.bed; paths are relative to"),
        ("X\ta.bed\tnone.bed\n", ":1: no file .*none.bed"),
        ("X\tsub\n", ":1: no file .*sub"),
        ("X\ta.bed\t\tK562\t9\n", ":1: 5 columns, not label path ambiguous_path cell"),
        ("X\ta.bed\nY\tb.bed\nX\tsub/../a.bed\n", ":3: .* listed already, for X at .*m.tsv:1;"),
        (b"X\t\xff\xfe\n", "no text table"),
    ],
)
def test_bad_manifests(write, text, words):
    path = write(text)
    with pytest.raises(TcnfastError, match=words) as info:
        read_manifest(path)
    assert str(info.value).startswith(str(path)) and "\n" not in str(info.value)
