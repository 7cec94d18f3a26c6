"""Files that strangers wrote, and what is left of them: a result or one line, never a traceback.

A few broken files of every parser here; ``make fuzz`` tries ten minutes of each.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fuzz import check, mutated, parsers, place

PARSERS = parsers()
QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", PARSERS)
def test_broken_files_are_one_line(name, tmp_path):
    parser = PARSERS[name]
    for seed in parser.seeds:
        parser.read(place(seed, tmp_path))  # so that what is broken was sound

    @QUICK
    @given(st.sampled_from(parser.seeds), st.integers(0, 2**64))
    def mutants(seed, number):
        first = next(iter(seed.values()))
        check(parser, seed, mutated(first, random.Random(number)), tmp_path)

    @QUICK
    @given(st.sampled_from(parser.seeds), st.binary(max_size=60))
    def noise(seed, data):
        check(parser, seed, data, tmp_path)

    mutants()
    noise()
