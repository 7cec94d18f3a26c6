"""A chromosome's index and its codes, against pyfaidx: `pytest benchmarks/bench_genome.py`."""

from pathlib import Path

import numpy as np
import pytest
from pyfaidx import Faidx, Fasta
from record import record

from tcnfast.genome import Genome, encode
from tcnfast.sequence.fasta_index import load_index

SIZE = 120_000_000

# the aim: 500 Mb/s on one core
MOST_SECONDS = SIZE / 500e6


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    """120 Mb in lines of 60, with lower-case repeats and runs of N, in the page cache."""
    rng = np.random.default_rng(0)
    bases = rng.choice(np.frombuffer(b"ACGTacgt", np.uint8), SIZE)
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
def report():
    """Takes the median of a side; once a case has both sides, records them."""
    medians = {}

    def add(case, side, benchmark):
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["Mb/s"] = round(SIZE / 1e6 / seconds)
        sides = medians.setdefault(case, {})
        sides[side] = seconds
        assert side == "pyfaidx" or seconds < MOST_SECONDS
        if len(sides) == 2:
            record("genome", case, sides, "pyfaidx")

    return add


@pytest.mark.parametrize("side", ["pyfaidx", "tcnfast"])
def test_whole_chromosome(benchmark, fasta, report, side):
    genome = Genome(fasta)
    if side == "tcnfast":
        codes = benchmark.pedantic(genome.codes, ("chr",), rounds=5, warmup_rounds=1)
    else:
        reader = Fasta(str(fasta), as_raw=True, rebuild=False)
        codes = benchmark.pedantic(lambda: encode(reader["chr"][:]), rounds=5, warmup_rounds=1)
    assert np.array_equal(codes, genome.codes("chr"))
    report("120 Mb chromosome to codes", side, benchmark)


@pytest.mark.parametrize("side", ["pyfaidx", "tcnfast"])
def test_index_build(benchmark, fasta, report, side):
    """From no ``.fai`` to one on disk."""
    fai = Path(f"{fasta}.fai")
    build = load_index if side == "tcnfast" else lambda path: Faidx(str(path)).close()

    def setup():
        fai.unlink(missing_ok=True)
        return (fasta,), {}

    benchmark.pedantic(build, setup=setup, rounds=5, warmup_rounds=1)
    assert fai.read_text() == f"chr\t{SIZE}\t5\t60\t61\n"
    report("index of a 120 Mb chromosome", side, benchmark)
