"""Small pieces of real genomes, from sequences/ beside this file (README.md there says whose)."""

import gzip
from pathlib import Path

import numpy as np

from tcnfast.genome.codes import encode

FOLDER = Path(__file__).parent / "sequences"


def letters(name):
    """The bytes of a piece: hg19.chr20, hg19.chrX or ecoli536, 60 kb each."""
    with gzip.open(FOLDER / f"{name}.fa.gz") as file:
        return b"".join(file.read().split(b"\n")[1:])


def piece(name) -> np.ndarray:
    """The codes of a piece."""
    return np.array(encode(letters(name)))
