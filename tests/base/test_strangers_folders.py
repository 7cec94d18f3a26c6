"""Run folders, data sets and bigWigs of strangers that are damaged: one line each, where they were
tracebacks, or the end of the process."""

import io
import json
import pickle
import random

import numpy as np
import pytest
from support.fuzz import check, parsers, place

from tcnfast.base.errors import TcnfastError
from tcnfast.base.record import Record
from tcnfast.doctor.examine import examine
from tcnfast.scan.many_genomes import read_genomes

PARSERS = parsers()


def npy(values):
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


DAMAGED = {
    "scan's run.json": [
        b'{"key": {"command": "scan"}}',
        b'{"key": {"command": "scan", "targets": 5}}',
    ],
    "scan's percentiles.tsv": [
        b"label\tprobability\tpercentile\nMAX\t0.1\t90\nMAX\t0.9\tx\n",
        b"label\tprobability\tpercentile\nMAX\t0.1\t90\nMAX\t7\t99\n",
        b"label\tprobability\tpercentile\nMAX\t0.9\t90\nMAX\t0.1\t99\n",
        b"label\tprobability\nMAX\t0.1\n",
        b"label\tprobability\tpercentile\n",
    ],
    "scan's peaks/MAX.narrowPeak": [
        b"chr1\tx\t200\tMAX\t1\t.\t1\t-1\t-1\t9\n",
        b"chr1\t1\t2\tMAX\n",
    ],
    "attribution's run.json": [b'{"key": {"command": "attribute"}}'],
    "motifs' labels.tsv": [b"label\twindows\nMAX\t9\n", b"windows\tnote\n9\tx\n"],
    "data's codes.npy": [b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', (", b""],
    "data's blacklist": [npy(np.int64([[7, 3, 8]])), npy(np.int64([[0, 3]])), npy(np.int64([5]))],
    "settings of train": [b'{"steps": 1e999}', b'{"learning-rate": "x"}'],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_one_line(name, tmp_path):
    parser = PARSERS[name]
    (seed,) = parser.seeds
    parser.read(place(seed, tmp_path))
    for data in DAMAGED[name]:
        check(parser, seed, data, tmp_path)  # a result or one line
        if not name.startswith("settings"):  # those are usage errors
            with pytest.raises(TcnfastError):
                parser.read(place(seed, tmp_path, data))


def test_what_a_record_lacks_is_named(tmp_path):
    record = Record({"a": ["x"], "b": [1], "c": {"y": 1}}, tmp_path / "run.json")
    assert record.names("a") == ["x"] and record.names("c") == ["y"] and record.get("d") is None
    for name, words in (("d", "'d' is missing"), ("b", "'b' must hold names")):
        with pytest.raises(TcnfastError, match=rf"run\.json: damaged \({words}\)"):
            record.names(name)
    again = pickle.loads(pickle.dumps(record))
    assert again == record and again.path == record.path and json.dumps(again)


def test_a_name_longer_than_any_file(tmp_path):
    path = tmp_path / "genomes.tsv"
    path.write_text(f"name\tpath\none\t{'x' * 3000}\n")
    assert read_genomes(path)[0].paths == ("x" * 3000,)


def test_a_damaged_bigwig_does_not_end_the_process(tmp_path):
    """libBigWig read beyond its memory: doctor was killed by SIGSEGV."""
    import pyBigWig

    path = tmp_path / "x.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", 1000), ("chr2", 500)])
        file.addEntries(["chr1"] * 40, list(range(40)), list(range(1, 41)), [0.5] * 40)
    sound, draws, said = path.read_bytes(), random.Random(0), set()
    assert examine(path).sound
    for _ in range(12):
        at = draws.randrange(4, len(sound) - 4)
        path.write_bytes(sound[:at] + draws.choice((b"\xff" * 4, bytes(4))) + sound[at + 4 :])
        said.add(examine(path).sound)
    assert False in said
    # 2,000 zoom levels that are not there, and trees that lie inside the header
    path.write_bytes(sound[:6] + b"\xd0\x07" + (70).to_bytes(8, "little") * 3 + sound[32:])
    assert not examine(path).sound
