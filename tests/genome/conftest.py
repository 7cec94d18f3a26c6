"""Fixtures of the tests of genome/."""

import random

import pytest
from support.twobit import SIZES, patchy


@pytest.fixture(name="write")
def fixture_write(tmp_path):
    def write(data, name="x.fa"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture(name="seqs")
def fixture_seqs():
    rng = random.Random(1)
    return {f"c{i}": patchy(rng, n) for i, n in enumerate(SIZES)}
