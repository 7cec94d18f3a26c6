"""What the tests of .2bit files share: sequences, and a file of them written from the format's
description in plain Python. A test file gets a fixture by importing fixture_<name>."""

import struct
from itertools import groupby

from support.fasta import sequence

SIZES = [1000, 1, 0, 60, 61, 377, 4001]
BITS = {"T": 0, "C": 1, "A": 2, "G": 3}


def patchy(rng, n):
    """Bases, soft-masked bases and N in runs."""
    seq = ""
    while len(seq) < n:
        kind = rng.choice(["ACGT", "acgt", "N", "n", "ACGTacgtNn"])
        seq += sequence(rng, rng.randint(1, 60), kind)
    return seq[:n]


def runs(flags):
    """Starts and sizes of the runs of True."""
    starts, sizes, at = [], [], 0
    for flag, group in groupby(flags):
        n = len(list(group))
        if flag:
            starts.append(at)
            sizes.append(n)
        at += n
    return starts, sizes


def twobit(seqs, order="<", version=0):
    """Bytes of a .2bit file of {name: sequence}; ``order`` as in struct."""

    def words(*values):
        return struct.pack(f"{order}{len(values)}I", *values)

    records = []
    for seq in seqs.values():
        record = words(len(seq))
        for flags in ([c.upper() not in BITS for c in seq], [c.islower() for c in seq]):
            starts, sizes = runs(flags)
            record += words(len(starts), *starts, *sizes)
        record += words(0)
        bits = [BITS.get(c.upper(), 0) for c in seq] + [0] * (-len(seq) % 4)
        for i in range(0, len(bits), 4):
            a, b, c, d = bits[i : i + 4]
            record += bytes([a << 6 | b << 4 | c << 2 | d])
        records.append(record)
    offset_format = order + ("Q" if version else "I")
    at = 16 + sum(1 + len(name.encode()) + struct.calcsize(offset_format) for name in seqs)
    index = b""
    for name, record in zip(seqs, records, strict=True):
        index += bytes([len(name.encode())]) + name.encode() + struct.pack(offset_format, at)
        at += len(record)
    return words(0x1A412743, version, len(seqs), 0) + index + b"".join(records)
