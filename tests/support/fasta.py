"""What the tests of FASTA files share: random sequences, files of them, and their naive codes."""

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.genome import GenomeError

CODE = {"A": 0, "C": 1, "G": 2, "T": 3}


def naive(seq):
    return [CODE.get(letter.upper(), 4) for letter in seq]


def sequence(rng, n, letters="ACGTNacgtnRYKMSWBDHVX-."):
    return "".join(rng.choices(letters, k=n))


def wrap(seqs, width=60, end="\n", final=True):
    """FASTA text of {name: sequence}; `width` is a number or a function of the line number."""
    lines = []
    for name, seq in seqs.items():
        lines.append(f">{name} some words")
        i = 0
        while i < len(seq):
            n = width(len(lines)) if callable(width) else width
            lines.append(seq[i : i + n])
            i += n
    return (end.join(lines) + (end if final else "")).encode()


def error_of(call, *args):
    """Message of the one-line GenomeError that `call` raises."""
    with pytest.raises(GenomeError) as info:
        call(*args)
    message = str(info.value)
    assert "\n" not in message and isinstance(info.value, TcnfastError), message
    return message
