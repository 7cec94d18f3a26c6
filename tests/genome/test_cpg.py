"""CpG islands against the definition, window by window."""

import numpy as np
import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode
from tcnfast.genome.cpg import WINDOW, in_cpg_islands


def brute(codes):
    inside = np.zeros(len(codes), bool)
    for start in range(len(codes) - WINDOW + 1):
        part = codes[start : start + WINDOW]
        c, g = (part == 1).sum(), (part == 2).sum()
        cpg = ((part[:-1] == 1) & (part[1:] == 2)).sum()
        if (part < 4).all() and (c + g) / WINDOW > 0.5 and cpg * WINDOW > 0.6 * c * g:
            inside[start : start + WINDOW] = True
    return inside


@pytest.mark.parametrize("seed", range(6))
def test_islands_equal_the_definition(seed):
    rng = np.random.default_rng(seed)
    # from rich to poor and back, so that islands begin and end
    parts = [
        rng.choice(4, 400, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
        for gc in (0.3, 0.6, 0.52, 0.7, 0.4, 0.55)
    ]
    codes = np.concatenate(parts).astype(np.uint8)
    codes[1500 : 1500 + seed] = 4
    got = in_cpg_islands(codes)
    np.testing.assert_array_equal(got, brute(codes))
    assert 0 < got.sum() < got.size


@pytest.mark.parametrize(
    "letters, inside",
    [
        (b"CG" * 100, True),
        (b"CG" * 99 + b"C", False),  # 199 bases
        (b"GC" * 99 + b"N" + b"CG" * 50, False),  # no stretch of 200 without N
        (b"C" * 100 + b"G" * 100, False),  # one CpG, fifty expected
        (b"A" * 100 + b"CG" * 50, False),  # G+C content of half is not above half
        (b"A" * 98 + b"CG" * 51, True),
        (b"", False),
    ],
    ids=["all-cpg", "short", "n", "no-cpg", "half", "just-above-half", "empty"],
)
def test_islands_by_hand(letters, inside):
    codes = encode(letters)
    assert in_cpg_islands(codes).tolist() == [inside] * len(codes)


def test_islands_take_codes():
    with pytest.raises(TcnfastError, match="uint8 codes"):
        in_cpg_islands(np.zeros(10, np.int64))
