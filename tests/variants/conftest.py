"""Fixtures of the tests of variants/."""

import pytest
from support.scan import calling_model, random_letters, write_fasta
from support.variant import CONTIGS

from tcnfast import Genome


@pytest.fixture(name="letters", scope="module")
def fixture_letters():
    """Text of each contig; chr1 has a gap."""
    letters = {name: random_letters(size, i) for i, (name, size) in enumerate(CONTIGS.items())}
    letters["chr1"][2_000:2_040] = ord("N")
    return {name: bytes(text).decode() for name, text in letters.items()}


@pytest.fixture(name="fasta", scope="module")
def fixture_fasta(letters, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    return write_fasta(path, {name: text.encode() for name, text in letters.items()})


@pytest.fixture(name="genome", scope="module")
def fixture_genome(fasta):
    with Genome(fasta) as genome:
        yield genome


@pytest.fixture(name="model", scope="module")
def fixture_model():
    return calling_model(first_kernel=7)
