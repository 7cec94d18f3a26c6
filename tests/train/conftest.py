"""Fixtures of the tests of train/."""

import numpy as np
import pytest
from support.train import MOTIFS, SIZE

from tcnfast.data.dataset import Dataset
from tcnfast.genome.genome import Genome
from tcnfast.genome.intervals import Intervals


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A random genome in which each label has 200 sites of its motif, on either strand."""
    rng = np.random.default_rng(11)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, SIZE)].copy()
    complement = bytes.maketrans(b"ACGT", b"TGCA")
    rows = []
    for site, middle in enumerate(range(250, SIZE - 250, 500)):
        label = list(MOTIFS)[site % 2]
        motif = MOTIFS[label].encode()
        middle += int(rng.integers(-80, 80))
        if rng.random() < 0.5:
            motif = motif.translate(complement)[::-1]
        letters[middle - 6 : middle + 6] = np.frombuffer(motif, np.uint8)
        rows.append((middle - 50, middle + 50, label))
    path = tmp_path_factory.mktemp("planted") / "genome.fa"
    lines = letters.reshape(-1, 80).view("S80").ravel()
    path.write_bytes(b">chr1\n" + b"\n".join(lines) + b"\n")
    start, end, label = (np.array(values) for values in zip(*rows, strict=True))
    chrom, summit = np.array(["chr1"] * len(rows), object), np.full(len(rows), -1)
    bound = Intervals(chrom, start, end, summit, label.astype(object))
    with Genome(path) as genome:
        yield Dataset(genome, bound, list(MOTIFS), label_bin=100, min_overlap=50)
