"""A chromosome's index and its codes, against pyfaidx and py2bit.

`pytest benchmarks/bench_genome.py`. Every side ends at the same codes in memory; "2 threads" reads
stretches of 16 Mb side by side.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pyfaidx import Faidx, Fasta
from record import record

from tcnfast.genome.fasta_index import load_index
from tcnfast.genome.genome import Genome, encode
from tcnfast.genome.twobit_write import write_twobit

SIZE = 120_000_000
STRETCH = 1 << 24

# the aim: 500 Mb/s on one core
MOST_SECONDS = SIZE / 500e6
ROUNDS = {"rounds": 7, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    """120 Mb in lines of 60, with lower-case repeats and runs of N, in the page cache."""
    rng = np.random.default_rng(0)
    bases = rng.choice(np.frombuffer(b"ACGT", np.uint8), SIZE)
    # half of a human chromosome is repeats, in runs of some 300 bases
    repeat = np.repeat(rng.random(SIZE // 300) < 0.5, 300)
    bases[repeat] |= 0x20
    bases[: SIZE // 50] = ord("N")
    path = tmp_path_factory.mktemp("genome") / "chr.fa"
    with open(path, "wb") as file:
        file.write(b">chr\n")
        lines = np.full((SIZE // 60, 61), ord("\n"), np.uint8)
        lines[:, :60] = bases.reshape(-1, 60)
        lines.tofile(file)
    Genome(path).close()
    return path


@pytest.fixture(scope="module")
def twobit(fasta):
    path = fasta.parent / "chr.2bit"
    write_twobit(fasta, path)
    return path


@pytest.fixture(scope="module")
def report():
    """Takes the median of a side; once a case has all its ``sides``, the first of them the
    baseline, records them."""
    medians = {}

    def add(case, side, sides, benchmark):
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["Mb/s"] = round(SIZE / 1e6 / seconds)
        case_medians = medians.setdefault(case, {})
        case_medians[side] = seconds
        assert side in ("pyfaidx", "py2bit") or seconds < MOST_SECONDS
        if set(case_medians) == set(sides):
            record("genome", case, case_medians, sides[0])

    return add


def codes_of(genome, threads):
    """All codes of the contig, in stretches where there are several threads."""
    if threads == 1:
        return genome.codes("chr")
    out = np.empty(SIZE, np.uint8)

    def read(start):
        end = min(start + STRETCH, SIZE)
        genome.codes("chr", start, end, out=out[start:end])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(0, SIZE, STRETCH)))
    return out


def by_py2bit(path):
    py2bit = pytest.importorskip("py2bit")
    reader = py2bit.open(str(path))
    return lambda: encode(reader.sequence("chr"))


READERS = ["pyfaidx", "tcnfast, FASTA", "tcnfast, FASTA, 2 threads", "py2bit", "tcnfast, .2bit",
           "tcnfast, .2bit, 2 threads"]  # fmt: skip


@pytest.mark.parametrize("side", READERS)
def test_whole_chromosome(benchmark, fasta, twobit, report, side):
    genome = Genome(twobit if "2bit" in side else fasta)
    if side == "pyfaidx":
        reader = Fasta(str(fasta), as_raw=True, rebuild=False)
        read = lambda: encode(reader["chr"][:])  # noqa: E731
    elif side == "py2bit":
        read = by_py2bit(twobit)
    else:
        read = lambda: codes_of(genome, 2 if "2 threads" in side else 1)  # noqa: E731
    codes = benchmark.pedantic(read, **ROUNDS)
    assert np.array_equal(codes, genome.codes("chr"))
    report("120 Mb chromosome to codes", side, READERS, benchmark)


@pytest.mark.parametrize("side", ["pyfaidx", "tcnfast"])
def test_index_build(benchmark, fasta, report, side):
    """From no ``.fai`` to one on disk."""
    fai = Path(f"{fasta}.fai")
    build = load_index if side == "tcnfast" else lambda path: Faidx(str(path)).close()

    def setup():
        fai.unlink(missing_ok=True)
        return (fasta,), {}

    benchmark.pedantic(build, setup=setup, **ROUNDS)
    assert fai.read_text() == f"chr\t{SIZE}\t5\t60\t61\n"
    report("index of a 120 Mb chromosome", side, ["pyfaidx", "tcnfast"], benchmark)


def test_twobit_build(benchmark, fasta, tmp_path, report):
    """From FASTA to .2bit; no other writer is at hand to compare with."""
    benchmark.pedantic(write_twobit, (fasta, tmp_path / "chr.2bit"), **ROUNDS)
    report(".2bit of a 120 Mb chromosome", "tcnfast", ["tcnfast"], benchmark)
