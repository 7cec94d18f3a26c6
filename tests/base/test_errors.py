"""Messages stay one line, whatever the names in them hold."""

import pickle

from tcnfast.base.errors import TcnfastError, one_line, shown
from tcnfast.genome.genome import GenomeError


def test_a_message_is_one_printable_line():
    error = GenomeError("a\nb\r\x1b[31m\u2028\x00 contig 'é' Ω")
    assert str(error) == "a\\nb\\r\\x1b[31m\\u2028\\x00 contig 'é' Ω"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert isinstance(error, TcnfastError)


def test_an_endless_word_is_cut():
    text = one_line(f"contig {'x' * 5000!r} is not there")
    assert len(text) < 300 and text.startswith("contig 'xxx") and text.endswith("' is not there")
    assert shown(b"A" * 21) == "A" * 17 + "..." and shown("A" * 20) == "A" * 20


def test_an_endless_message_is_cut_in_its_middle():
    text = one_line("x.npz: no array (" + "b'\\x00' " * 900 + "differ); write it anew")
    assert len(text) <= 2000 and text.startswith("x.npz: no array (b'")
    assert text.endswith("differ); write it anew") and " ... " in text
