"""Letters to codes, one-hot and the reverse complement."""

import random

import numpy as np
import pytest
from support.fasta import naive, sequence

from tcnfast.genome.codes import encode, one_hot, reverse_complement


@pytest.mark.parametrize("kind", [str, str.encode, lambda s: bytearray(s, "ascii")])
def test_encode_is_naive_for_every_kind(kind):
    seq = sequence(random.Random(0), 1000)
    codes = encode(kind(seq))
    assert codes.dtype == np.uint8 and codes.tolist() == naive(seq)


def test_encode_every_byte_and_views():
    letters = np.arange(256, dtype=np.uint8)
    want = naive(letters.tobytes().decode("latin-1"))
    assert encode(letters).tolist() == want
    assert encode(letters[::-3]).tolist() == want[::-3]
    assert encode("AÄC").tolist() == [0, 4, 1] and encode(b"").shape == (0,)
    with pytest.raises(TypeError, match="int64"):
        encode(np.arange(3))


def test_one_hot():
    codes = encode(b"ACGTN")
    x = one_hot(codes)
    assert x.dtype == np.float32 and x.shape == (4, 5)
    np.testing.assert_array_equal(x, np.eye(5, dtype=np.float32)[:4])
    batch = one_hot(np.stack([codes, codes[::-1]]))
    assert batch.shape == (2, 4, 5)
    np.testing.assert_array_equal(batch[1], x[:, ::-1])
    assert one_hot(codes[:0]).shape == (4, 0)
    assert one_hot(np.empty((0, 7), np.uint8)).shape == (0, 4, 7)
    with pytest.raises(TypeError, match="float64"):
        one_hot(np.zeros(3))


def test_reverse_complement():
    codes = encode(b"AACGTN")
    assert reverse_complement(codes).tolist() == encode(b"NACGTT").tolist()
    np.testing.assert_array_equal(reverse_complement(reverse_complement(codes)), codes)
    np.testing.assert_array_equal(one_hot(reverse_complement(codes)), one_hot(codes)[::-1, ::-1])
