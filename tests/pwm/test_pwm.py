import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tcnfast.base.errors import TcnfastError
from tcnfast.evaluate.floors import measure_floors
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.genome.labels import AMBIGUOUS, BOUND
from tcnfast.pwm import placements
from tcnfast.pwm.log_odds import log_odds
from tcnfast.pwm.meme import Motif, MotifError, read_meme
from tcnfast.pwm.motif_ap import TargetRanking, best_motifs, motif_precisions
from tcnfast.pwm.placements import bin_scores, cpg_content

MOTIFS = Path(__file__).resolve().parents[3] / "shared" / "data" / "motifs"

HEAD = "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\n"
TAIL = "Background letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n\n"
MAX = "MOTIF M1 MAX::MYC\nletter-probability matrix: alength= 4 w= 2 nsites= 5 E= 0\n"
ROWS = "0.5 0.5 0.0 0.0\n0.2 0.2 0.2 0.4\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="x.meme"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def random_motif(rng, width):
    return Motif("m", "M", rng.dirichlet(np.full(4, 0.3), width))


def brute(codes, matrix, starts, bin_width):
    """Every placement in every bin on both strands, in float64."""
    width, lowest = len(matrix), float(matrix.astype(np.float64).min(1).sum())
    out = np.full(len(starts), -np.inf)
    for i, start in enumerate(starts):
        for p in range(start, start + bin_width - width + 1):
            site = codes[p : p + width]
            score = lowest
            if (site < 4).all():
                strands = site, reverse_complement(site)
                score = max(sum(float(matrix[j, s[j]]) for j in range(width)) for s in strands)
            out[i] = max(out[i], score)
    return out.astype(np.float32)


@pytest.mark.parametrize("width", [1, 4, 5, 6, 10, 11, 23])
def test_bin_scores_equal_brute_force(width):
    rng = np.random.default_rng(width)
    codes = rng.choice(5, 700, p=[0.24, 0.24, 0.24, 0.24, 0.04]).astype(np.uint8)
    codes[300:380] = 4
    matrix = log_odds(random_motif(rng, width))
    for bin_width in (width, width + 1, 40, 200):
        inner = rng.integers(0, 700 - bin_width + 1, 60)
        # both ends of the sequence, bins inside the gap, repeated bins
        starts = np.sort(np.concatenate([inner, [0, 0, 310, 700 - bin_width]]))
        got = bin_scores(codes, matrix, starts, bin_width)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, brute(codes, matrix, starts, bin_width))


def test_spans_do_not_show():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 3 * placements.SPAN).astype(np.uint8)
    matrix = log_odds(random_motif(rng, 7))
    starts = np.arange(0, codes.size - 20, 5)
    starts = starts[(starts < 2000) | (starts > 9000)]
    whole = bin_scores(codes, matrix, starts, 20)
    alone = [bin_scores(codes, matrix, starts[i : i + 1], 20)[0] for i in range(starts.size)]
    np.testing.assert_array_equal(whole, alone)


def test_both_strands_score_alike():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 5, 5000).astype(np.uint8)
    matrix = log_odds(random_motif(rng, 13))
    starts = np.arange(0, 4800, 32)
    mirrored = np.sort(5000 - 200 - starts)
    plus = bin_scores(codes, matrix, starts, 200)
    minus = bin_scores(reverse_complement(codes), matrix, mirrored, 200)[::-1]
    np.testing.assert_array_equal(plus, minus)


def test_extreme_matrices_keep_n_lowest():
    codes = encode("A" * 99 + "N" + "A" * 100)
    matrix = np.tile(np.float32([20.0, -20.0, -20.0, -20.0]), (100, 1))
    got = bin_scores(codes, matrix, np.array([0, 50, 100]), 100)
    np.testing.assert_array_equal(got, np.float32([-2000, -2000, 2000]))


def test_bins_and_matrices_are_checked():
    codes, matrix = encode("ACGT" * 10), np.zeros((5, 4), np.float32)
    assert bin_scores(codes, matrix, np.array([], np.int64), 20).shape == (0,)
    for starts, bin_width, words in [
        ([-1, 3], 10, "leave the sequence of 40 bp"),
        ([3, 31], 10, "leave the sequence"),
        ([3, 2], 10, "sorted"),
        ([0], 4, "5 bp does not fit"),
        ([0], 0, "at least 1 bp"),
    ]:
        with pytest.raises(TcnfastError, match=words):
            bin_scores(codes, matrix, np.array(starts), bin_width)
    for wrong, words in [(-np.inf, "finite"), (np.nan, "finite"), (500.0, "beyond")]:
        with pytest.raises(TcnfastError, match=words):
            bin_scores(codes, np.full((5, 4), wrong), np.array([0]), 10)
    for shape in [(5, 3), (0, 4), (101, 4)]:
        with pytest.raises(TcnfastError, match="must be"):
            bin_scores(codes, np.zeros(shape), np.array([0]), 10)
    with pytest.raises(TcnfastError, match="0 to 4"):
        bin_scores(codes + np.uint8(4), matrix, np.array([0]), 10)


DNA_LIKE = """ALPHABET "DNA" DNA-LIKE
A "Adenine" CC0000 ~ T "Thymine" 008000
C "Cytosine" 0000CC ~ G "Guanine" FFB300
N "Any base" = ACGT
END ALPHABET

"""


def test_the_files_that_meme_writes_are_read(write):
    want = read_meme(write(HEAD + TAIL + MAX + ROWS))[0].probabilities
    dreme = "# DREME 5.0.5\n# command: dreme\n\nMEME version 5.0.5\n\n" + DNA_LIKE + TAIL
    dreme += "MOTIF ACGTG DREME-1\n\n#  Word  RC Word  Pos\n# BEST ACGTG\n\n"
    stars = "*" * 80 + "\n"
    meme = stars + "MEME - Motif discovery tool\n" + stars
    meme += "MEME version 5.0.5 (Release date: Mon Mar 18)\n\nALPHABET= ACGT\n" + stars
    table = MAX.splitlines()[1] + "\n" + ROWS + "-" * 60 + "\n"
    for text, name in (
        (dreme + table, "DREME-1"),
        (meme + "MOTIF GGSGGC MEME-1\twidth =  2  sites =  20\n" + table, "MEME-1"),
        (meme + "MOTIF  1\twidth =   2   sites =  20  llr = 7\nMOTIFS x\n" + table, "1"),
        ("\ufeff" + HEAD + TAIL + MAX + ROWS, "MAX::MYC"),
        (HEAD + MAX + "0.49 0.49 0 0.0\n.33 .33 .33 0\n", "MAX::MYC"),
    ):
        (motif,) = read_meme(write(text))
        assert motif.name == name
        np.testing.assert_allclose(motif.probabilities.sum(1), 1)
        if ".33" not in text:
            np.testing.assert_array_equal(motif.probabilities, want)


@pytest.mark.parametrize(
    "text, words",
    [
        ("<?xml version='1.0'?>\n<MEME version=\"5\">", "name the text file"),
        ("hello\nXEME version 4\n", "no MEME motif file"),
        ("MOTIF a\nMEME version 4\n", "no MEME motif file"),
        ('MEME version 5\n\nALPHABET "RNA" RNA-LIKE\nA\nC\nEND ALPHABET\n', ":3:"),
        ("MEME version 5\n\n" + DNA_LIKE.replace("END", 'm "5mC" 1 ~ 1 "G:5mC" 2\nEND'), ":3:"),
    ],
)
def test_other_motif_files_are_named(write, text, words):
    with pytest.raises(MotifError) as info:
        read_meme(write(text))
    assert words in str(info.value) and "\n" not in str(info.value)


def test_log_odds():
    motif = Motif("m", "M", np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]))
    got = log_odds(motif, pseudocount=0.01)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0, :2], np.log2([(1.0025) / 1.01 * 4, 0.01 / 1.01]), atol=2e-4)
    np.testing.assert_array_equal(got[1], 0)
    skewed = log_odds(motif, background=[0.4, 0.1, 0.1, 0.4], pseudocount=1.0)
    np.testing.assert_allclose(skewed[0, 0], np.log2(0.7 / 0.4), atol=2e-4)
    with pytest.raises(TcnfastError, match="pseudocount above 0"):
        log_odds(motif, pseudocount=0)
    with pytest.raises(TcnfastError, match="four shares"):
        log_odds(motif, background=[0.5, 0.5, 0.5, 0.5])


def test_cpg_content():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 5, 300).astype(np.uint8)
    starts = np.sort(np.concatenate([rng.integers(0, 280, 50), [0, 280]]))
    pairs = [codes[s : s + 20].tolist() for s in starts]
    expected = [sum(p[i : i + 2] == [1, 2] for i in range(19)) for p in pairs]
    got = cpg_content(codes, starts, 20)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)
    assert cpg_content(encode("CG"), np.array([0, 1]), 1).tolist() == [0, 0]


def test_read_meme(write):
    text = HEAD + TAIL + MAX + ROWS + "URL http://x\n\nMOTIF M2\n" + MAX.splitlines()[1] + "\n"
    text += " 0.333 0.333 0.333 0\n1e-3\t0 0.999 0.000\n"
    for data in (text, text.replace("\n", "\r\n"), gzip.compress(text.encode())):
        first, second = read_meme(write(data))
        assert (first.name, first.id, second.name, second.id) == ("MAX::MYC", "M1", "M2", "M2")
        np.testing.assert_array_equal(first.probabilities, [[0.5, 0.5, 0, 0], [0.2, 0.2, 0.2, 0.4]])
        np.testing.assert_allclose(second.probabilities.sum(1), 1, atol=1e-15)
    assert first.is_named("myc") and first.is_named("MAX") and not first.is_named("MA")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no MEME motif file"),
        (">M1\nACGT\n", 1, "no MEME motif file"),
        (HEAD, 1, "no motif in the file"),
        ("MEME version 4\nALPHABET= ACDEFGHIKLMNPQRSTVWY\n" + MAX + ROWS, 2, "ALPHABET= ACGT"),
        (HEAD + "MOTIF\n", 7, "without an id"),
        (HEAD + "MOTIF M1\n\nMOTIF M2\n", 7, "M1 has no 'letter-probability"),
        (HEAD + MAX + ROWS + "MOTIF M2\n", 11, "M2 has no 'letter-probability"),
        (HEAD + MAX + ROWS + MAX + ROWS, 11, "M1 is there twice"),
        (HEAD + MAX[MAX.index("letter") :] + ROWS, 7, "without a MOTIF"),
        (HEAD + MAX.replace("h= 4", "h= 20") + ROWS, 8, "alength is 20"),
        (HEAD + MAX + ROWS + "1 0 0 0\n", 8, "3 rows of numbers below it, needs 2"),
        (HEAD + MAX + "1 0 0 0\n", 8, "1 row of numbers below it, needs 2"),
        (
            HEAD + MAX.replace("w= 2", "w= 0") + "\n",
            8,
            "0 rows of numbers below it, needs at least 1",
        ),
        (HEAD + MAX + "nan 0 0 0\n" * 2, 9, "not 'nan 0 0 0'"),
        (HEAD + MAX + "inf 0 0 0\n" * 2, 9, "not 'inf 0 0 0'"),
        (HEAD + MAX + "9" * 400 + " 0 0 0\n0 0 0 1\n", 9, "not '99999999"),
        (HEAD + MAX.replace("w= 2", "") + "\n", 8, "0 rows of numbers below it, needs at least 1"),
        (HEAD + MAX + "1 0 0\n1 0 0 0\n", 9, "four numbers"),
        (HEAD + MAX + "1 0 0 0\n1 0 0 x\n", 10, "four numbers"),
        (HEAD + MAX + "1 0 0 0\n1 0 0.5 0\n", 10, "sum to 1"),
        (HEAD + MAX + "1 0 0 0\n1 0.5 -0.5 0\n", 10, "sum to 1"),
        (HEAD + MAX + "1 0 0 0\n1 0 nan 0\n", 10, "sum to 1"),
    ],
)
def test_meme_errors_name_the_line(write, text, line, words):
    path = write(text)
    with pytest.raises(MotifError) as info:
        read_meme(path)
    message = str(info.value)
    assert message.startswith(f"{path}:{line}: ") and words in message and "\n" not in message


def test_unreadable_meme_files(write, tmp_path):
    with pytest.raises(MotifError, match="cannot be read"):
        read_meme(tmp_path / "none.meme")
    whole = gzip.compress((HEAD + MAX + ROWS).encode())
    with pytest.raises(MotifError, match="damaged gzip"):
        read_meme(write(whole[: len(whole) // 2]))


def test_average_precision_equals_scikit_learn():
    rng = np.random.default_rng(3)
    for levels in (2, 7, 100, 10**6):
        targets = rng.choice(3, (3000, 12), p=[0.8, 0.08, 0.12]).astype(np.uint8)
        targets[:, 0] = 0  # no positives
        targets[:, 1] = np.where(targets[:, 1] == AMBIGUOUS, AMBIGUOUS, BOUND)  # no negatives
        targets[:, 2] = AMBIGUOUS
        targets[:, 3] = 0
        targets[5, 3] = BOUND
        targets[100:200] = AMBIGUOUS
        scores = (rng.integers(0, levels, 3000) + targets[:, 4] % 2).astype(np.float32)
        got = TargetRanking(targets).average_precision(scores)
        assert np.isnan(got[:3]).all()
        for label in range(3, 12):
            known = targets[:, label] != AMBIGUOUS
            expected = average_precision_score(targets[known, label] == BOUND, scores[known])
            assert abs(got[label] - expected) < 1e-12
    with pytest.raises(TcnfastError, match="one for each"):
        TargetRanking(targets).average_precision(scores[:-1])


def test_best_motif_is_the_planted_one():
    rng = np.random.default_rng(4)
    motifs = [random_motif(rng, width) for width in (8, 10, 12)]
    starts = np.arange(0, 20_000 - 200, 200)
    targets = np.zeros((2 * starts.size, 3), np.uint8)
    regions = []
    for r in range(2):
        codes = rng.integers(0, 4, 20_000).astype(np.uint8)
        for label in (0, 1):
            for b in rng.choice(starts.size, 12, replace=False):
                site = motifs[2 - label].probabilities.argmax(1).astype(np.uint8)
                site = reverse_complement(site) if rng.random() < 0.5 else site
                codes[starts[b] + 20 + 50 * label :][: site.size] = site
                targets[r * starts.size + b, label] = BOUND
        regions.append((codes, starts))
    precisions = motif_precisions(motifs, regions, targets)
    assert precisions.shape == (3, 3)
    assert best_motifs(precisions).tolist() == [2, 1, -1]
    assert precisions[2, 0] > 0.9 and precisions[1, 1] > 0.9
    candidates = np.ones((3, 3), bool)
    candidates[2, 0] = False
    candidates[:, 1] = False
    choice = best_motifs(precisions, candidates)
    assert choice[0] == precisions[:2, 0].argmax() and choice[1] == -1


def test_jaspar_reads_whole():
    path = MOTIFS / "jaspar2024_core_vertebrates.meme.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is missing: shared data are not beside the repository")
    motifs = read_meme(path)
    assert len(motifs) == 879
    assert {len(motif.probabilities) for motif in motifs} <= set(range(5, 36))
    assert [m.id for m in motifs if m.is_named("CTCF")] == ["MA0139.2", "MA1929.2", "MA1930.2"]


def test_floors_of_each_label():
    rng = np.random.default_rng(5)
    sites = {"CTCF": b"CCACCAGGGGGCGC", "REST": b"TTCAGCACCATGGAC"}
    codes = rng.integers(0, 4, 40_000).astype(np.uint8)
    starts, targets = np.arange(0, 39_801, 100), np.zeros((399, 4), np.uint8)
    motifs = []
    for column, (name, site) in enumerate(sites.items()):
        letters = encode(site)
        motifs.append(Motif(name, f"M{column}", np.eye(4)[letters] * 0.96 + 0.01))
        for row in range(10 + 20 * column, 399, 40):
            codes[starts[row] + 90 : starts[row] + 90 + len(letters)] = letters
            targets[row, column] = BOUND
    targets[:, 2] = targets[:, 0]  # of a factor without a motif
    targets[::7][targets[::7] == 0] = AMBIGUOUS
    targets[:, 3] = np.where(targets[:, 3] == BOUND, 0, targets[:, 3])
    labels = ["CTCF@x", "REST", "OTHER@x", "CTCF@y"]
    got = measure_floors(labels, motifs, [(codes, starts)], targets, 200)
    assert got.named_motif == ["M0 CTCF", "M1 REST", "M0 CTCF", ""]
    assert got.best_motif == got.named_motif
    for index, motif in enumerate((0, 1, 0)):
        known = targets[:, index] != AMBIGUOUS
        truth = targets[known, index] == BOUND
        score = bin_scores(codes, log_odds(motifs[motif]), starts, 200)
        want = average_precision_score(truth, score[known])
        assert got.named_ap[index] == pytest.approx(want) == got.best_ap[index]
        want = average_precision_score(truth, cpg_content(codes, starts, 200)[known])
        assert got.cpg_ap[index] == pytest.approx(want)
    assert np.isnan([got.named_ap[3], got.best_ap[3], got.cpg_ap[3]]).all()
    swapped = [replace(motifs[0], name="REST"), replace(motifs[1], name="CTCF")]
    got = measure_floors(labels, swapped, [(codes, starts)], targets, 200)
    assert got.named_motif[:3] == ["M1 CTCF", "M0 REST", "M0 REST"]
    assert got.best_motif[:2] == ["M0 REST", "M1 CTCF"] and got.named_ap[0] < got.best_ap[0]
