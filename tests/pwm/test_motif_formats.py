"""Motif files of JASPAR, TRANSFAC and HOMER, and the bundled matrices by name."""

import gzip

import numpy as np
import pytest
from support.fuzz import MOTIFS

from tcnfast.pwm.meme import DATABASE, MotifError, read_meme
from tcnfast.pwm.motif_formats import BUNDLED, motif_file, motif_kind, read_motifs

ARNT = np.array([[4, 16, 0, 0], [19, 0, 1, 0], [0, 20, 0, 0]]) / 20


def kind(data):
    return motif_kind(data.decode().splitlines())


@pytest.mark.parametrize(
    "data, name, id, shares",
    [
        (MOTIFS[0], "Arnt", "MA0004.1", ARNT),
        (MOTIFS[1], "Arnt", "MA0004.1", ARNT),
        (MOTIFS[2], "MyoD", "M1", [[0.2, 0.4, 0.4, 0], [0.6, 0, 0.4, 0]]),
        (MOTIFS[3], "AP-1", "AP-1(bZIP)/Jun-ChIP/Homer", [[0.4, 0.3, 0.2, 0.1], [0.1] * 3 + [0.7]]),
    ],
)
def test_every_format_is_read(tmp_path, data, name, id, shares):
    for number, text in enumerate((data, data.replace(b"\n", b"\r\n"), gzip.compress(data))):
        path = tmp_path / str(number)
        path.write_bytes(text)
        (motif,) = read_motifs(path)
        assert (motif.name, motif.id) == (name, id)
        np.testing.assert_allclose(motif.probabilities, shares, atol=1e-12)


def test_jaspars_own_transfac_and_what_homer_finds(tmp_path):
    jaspar = b"AC MA0001.1\nXX\nID AGL3\nXX\nDE MA0001.1 AGL3 ; From JASPAR\nPO\tA\tC\tG\tT\n"
    jaspar += b"01\t0.0\t94.0\t1.0\t2.0\nXX\nCC tax_group:plants\nXX\n//\n"
    found = b">1-ASTT\t1-ASTT,BestGuess:Fra1(bZIP)/BT549/Homer(0.9)\t8.0\n0.7 0.1 0.1 0.1\n"
    for text, want in ((jaspar, ("AGL3", "MA0001.1")), (found, ("Fra1", None))):
        (tmp_path / "m").write_bytes(text)
        (motif,) = read_motifs(tmp_path / "m")
        assert motif.name == want[0] and want[1] in (None, motif.id)
        assert len(motif.id.split()) == 1 and motif.is_named(want[0])


def test_formats_are_told_apart():
    assert [kind(data) for data in MOTIFS] == ["JASPAR", "JASPAR", "TRANSFAC", "HOMER"]
    assert kind(b">MA1\tx\n4 19 0 1\n0 0 0 0\n1 1 1 1\n1 1 1 1\n") == "JASPAR"
    assert kind(b"MEME version 4\n") == kind(b"") == "MEME"


@pytest.mark.parametrize(
    "text, words",
    [
        (">M1 x\nA [ 4 19 ]\nC [16 0]\n", ":1: a JASPAR matrix has four rows"),
        (">M1 x\nA [1]\nC [1]\nG [1]\nT [1 2]\n", "of equal length"),
        (">M1 x\nA [1]\nG [1]\nC [1]\nT [1]\n", ":3: rows must be those of A, C, G and T"),
        (">M1 x\nA [1]\nC [x]\nG [1]\nT [1]\n", ":3: needs counts, not 'x'"),
        (">M1\nA [0]\nC [0]\nG [0]\nT [0]\n", ":1: a column of the matrix holds no count"),
        (">M1\n1\n1\n1\n1\n>M1\n1\n1\n1\n1\n", ":6: motif M1 is there twice"),
        (">\n1\n", ":1: '>' without an id"),
        (">A\tx\t1\n.5 .5 0 0\n.5 .5 .5 0\n", ":3: needs probabilities that sum to 1"),
        (">A\tx\t1\n.5 .5 0 0\n>B\ty\t1\n", ":3: motif y has no rows"),
        ("AC  M1\nP0 A C G U\n01 1 1 1 1\n//\n", ":2: needs the columns A, C, G and T"),
        ("AC  M1\nP0 A C G T\n01 1 1 -1 1\n//\n", ":3: needs counts"),
        ("AC  M1\nP0 A C G T\n//\n", ":1: motif M1 has no rows"),
        ("XX\nP0 A C G T\n01 1 1 1 1\n//\n", ":1: an entry has neither AC nor ID"),
        ("AC  M1\nXX\n//\n", ":1: no motif in the file"),
        ("hello\n", "no MEME motif file"),
    ],
)
def test_broken_files_say_where(tmp_path, text, words):
    (tmp_path / "m").write_text(text)
    with pytest.raises(MotifError) as info:
        read_motifs(tmp_path / "m")
    assert words in str(info.value) and "\n" not in str(info.value)


def test_counts_give_the_shares_of_the_meme_file(tmp_path):
    """JASPAR's MEME files hold shares, its own format counts: those of 1,000 sites agree."""
    known = read_meme(DATABASE)[:20]
    lines = []
    for motif in known:
        counts = np.rint(motif.probabilities * 1000).astype(int).T.tolist()
        rows = [f"{b} [ {' '.join(map(str, row))} ]" for b, row in zip("ACGT", counts, strict=True)]
        lines += [f">{motif.id}\t{motif.name}", *rows]
    (tmp_path / "m.jaspar").write_text("\n".join(lines) + "\n")
    for got, want in zip(read_motifs(tmp_path / "m.jaspar"), known, strict=True):
        assert (got.id, got.name) == (want.id, want.name)
        np.testing.assert_allclose(got.probabilities, want.probabilities, atol=0.003)


def test_bundled_matrices_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert motif_file("jaspar") == DATABASE
    sizes = {name: len(read_motifs(name)) for name in BUNDLED}
    assert sizes == {"jaspar": 879, "jaspar-insects": 286, "jaspar-fungi": 178, "jaspar2026": 1019}
    with pytest.raises(MotifError, match="did you mean jaspar"):
        motif_file("jasper")
    assert motif_file("new.meme").name == "new.meme"  # the reader says that it is not there
    (tmp_path / "jaspar").write_bytes(MOTIFS[0])
    assert [motif.name for motif in read_motifs("jaspar")] == ["Arnt"]
