"""Peaks of another assembly: suspected where nothing under them differs from what is around."""

from pathlib import Path

import numpy as np
import pytest
from support.scan import random_letters, write_fasta


@pytest.mark.parametrize("what", ["gc", "cpg", "kmer"])
@pytest.mark.parametrize("shift", [0, 21_500])
def test_peaks_of_another_assembly_are_suspected(run, tmp_path, what, shift):
    """Random sequence with something under the peaks; and the same peaks moved."""
    rng = np.random.default_rng(4)
    letters = random_letters(1_000_000, 8)
    starts = np.arange(3_000, 990_000, 3_300) + rng.integers(0, 900, 300)
    for start in starts:
        if what == "kmer":
            letters[start + 100 : start + 112] = np.frombuffer(b"TGACTCATTGAT", np.uint8)
        for at in rng.integers(start, start + 190, 25 if what != "kmer" else 0):
            # one word too rarely to be seen by itself
            word = b"CG" if what == "cpg" else bytes(rng.choice(list(b"GC"), 2).tolist())
            letters[at : at + 2] = np.frombuffer(word, np.uint8)
    write_fasta(tmp_path / "g.fa", {"chr1": letters})
    lines = [f"chr1\t{s + shift}\t{s + shift + 200}\tX\n" for s in starts if s + shift < 990_000]
    Path("peaks.bed").write_text("".join(lines))
    Path("split.json").write_text('{"train": ["chr1"], "valid": [], "test": []}')
    code, _, err = run(*"prepare -g g.fa --peaks peaks.bed --split split.json -o data".split())
    assert code == 0, err
    words = "labels that look like peaks of another assembly, no richer in GC, CpG or any 6-mer"
    assert (words in err) == bool(shift), err
