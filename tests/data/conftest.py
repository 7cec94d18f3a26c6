"""Fixtures of the tests of data/."""

import pytest
from support.dataset import LABELS, intervals, some_rows, write_genome
from support.prepare import make_lab

from tcnfast.data.dataset import Dataset
from tcnfast.genome.genome import Genome


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    with Genome(write_genome(tmp_path_factory.mktemp("genome") / "genome.fa")) as genome:
        yield genome


@pytest.fixture
def rows():
    return some_rows()


@pytest.fixture
def dataset(genome, rows):
    bound, relaxed, blacklist = map(intervals, rows)
    return Dataset(genome, bound, LABELS, relaxed, blacklist)


@pytest.fixture(name="lab")
def fixture_lab(tmp_path):
    return make_lab(tmp_path / "lab")
