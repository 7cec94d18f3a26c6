"""``tcnfast scan --motifs``: every hit there is, once, whatever the cuts, threads and kills."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.scan import files_in, random_letters, read_rows, run_record_of, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.genome.genome import Genome
from tcnfast.pwm import packed_hits, product_hits, seed_hits
from tcnfast.pwm.hits import HitFinder
from tcnfast.pwm.log_odds import UNITS_PER_BIT, both_strands, whole_units
from tcnfast.pwm.meme import DATABASE, Motif, read_meme, write_meme
from tcnfast.pwm.packed_hits import unpack
from tcnfast.pwm.product_hits import MotifProduct
from tcnfast.pwm.pvalues import score_tail
from tcnfast.pwm.seed_hits import build_tables, find_hits
from tcnfast.scan import motif_files, motif_run, pieces

SIZES = {"chr2": 50_000, "chr10": 21_000, "short": 12, "chrUn_x": 4_000}
SCANNED = list(SIZES)[:3]
GAP = (20_000, 20_500)
P = 1e-3


def letters_of():
    contigs = {name: random_letters(size, i) for i, (name, size) in enumerate(SIZES.items())}
    contigs["chr2"][slice(*GAP)] = ord("N")
    contigs["chr2"][[31_000, 32_767, 32_768]] = ord("N")
    contigs["chr10"][:3] = ord("N")
    # a site at either end of a contig, and across the cut at 16,384
    for name, start in (("chr2", 0), ("chr2", 16_380), ("chr10", SIZES["chr10"] - 12)):
        contigs[name][start : start + 12] = np.frombuffer(b"TGACGTCATTGG", np.uint8)
    return contigs


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with g.fa and m.meme: widths below, at and above the seeds', one motif without any
    hit, one palindrome."""
    folder, rng = tmp_path_factory.mktemp("lab"), np.random.default_rng(0)
    write_fasta(folder / "g.fa", letters_of())
    widths = (6, 8, 9, 11, 12, 15, 21, 30)
    motifs = [Motif(f"N{w}", f"M{w}", rng.dirichlet(np.full(4, 0.3), w)) for w in widths]
    site = np.eye(4)[encode("TGACGTCATTGG")] * 0.88 + 0.03
    motifs.append(Motif("SITE::X", "Msite", site))
    motifs.append(Motif("EVEN", "Meven", np.eye(4)[encode("TGACGTCA")] * 0.88 + 0.03))
    motifs.append(Motif("SHORT", "M3", np.eye(4)[encode("ACG")] * 0.88 + 0.03))
    write_meme(folder / "m.meme", motifs, [50] * len(motifs))
    return folder


def scan(lab, out, **options):
    words = dict(motifs=lab / "m.meme", p_value=P) | options
    return tcnfast.scan(lab / "g.fa", out=out, **words)


@pytest.fixture(autouse=True)
def cuts(monkeypatch):
    """Stretches of 32,768 bases of two segments each; hits read and written a few at a time."""
    monkeypatch.setattr(pieces, "STRETCH_BASES", 2**15)
    monkeypatch.setattr(pieces, "LEAST_STEPS", 1)
    monkeypatch.setattr(motif_run, "SEGMENT_BASES", 2**14)
    monkeypatch.setattr(motif_files, "GROUP", 300)
    monkeypatch.setattr(motif_files, "ROWS", 7)


def brute(lab, background, p=P, chroms=SCANNED):
    """Rows of every motif from every placement, added up base by base."""
    found = {}
    with Genome(lab / "g.fa") as genome:
        for motif in read_meme(lab / "m.meme"):
            units = whole_units(motif, background)
            tail = score_tail(units, background)
            cutoff, rows, width = tail.cutoff(p), [], len(units)
            padded = np.concatenate([units, np.full((width, 1), -(1 << 30))], 1)
            for chrom in chroms:
                codes = genome.codes(chrom, 0, genome.sizes[chrom])
                n = max(0, codes.size - width + 1)
                strands = []
                for matrix in (padded, np.concatenate([units[::-1, ::-1], padded[:, 4:]], 1)):
                    parts = (matrix[j][codes[j : j + n]] for j in range(width))
                    strands.append(sum(parts, np.zeros(n, np.int64)))
                for start in np.flatnonzero(np.maximum(*strands) >= cutoff).tolist():
                    for sums, strand in zip(strands, "+-", strict=True):
                        score = int(sums[start])
                        if score >= cutoff:
                            chance = float(tail.chances[tail.highest - score])
                            place = chrom, start, start + width, motif.id
                            rows.append((*place, score / UNITS_PER_BIT, strand, chance))
            found[motif.id] = rows
    return found


def read_hits(path):
    rows = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    return [
        (row[0], int(row[1]), int(row[2]), row[3], float(row[4]), row[5], float(row[6]))
        for row in rows
    ]


def check(folder, expected):
    paths = sorted((folder / "hits").iterdir())
    assert len(paths) == len(expected)
    total = 0
    for id, rows in expected.items():
        (path,) = [path for path in paths if path.name.startswith(f"{id}.")]
        got = read_hits(path)
        assert [row[:4] + row[5:6] for row in got] == [row[:4] + row[5:6] for row in rows]
        np.testing.assert_allclose([row[4] for row in got], [row[4] for row in rows], atol=0.0051)
        np.testing.assert_allclose([row[6] for row in got], [row[6] for row in rows], rtol=0.0051)
        total += len(rows)
    return total


@pytest.fixture(scope="module")
def expected(lab):
    with Genome(lab / "g.fa") as genome:
        codes = np.concatenate([genome.codes(name, 0, SIZES[name]) for name in SCANNED])
    shares = np.bincount(codes, minlength=5)[:4]
    return brute(lab, both_strands(shares / shares.sum()))


def test_every_hit_there_is(lab, expected, tmp_path):
    result = scan(lab, tmp_path / "s")
    total = check(result.path, expected)
    assert total > 300 and not expected["M3"]
    # both strands of a palindrome
    even = expected["Meven"]
    assert even and all(a[1] == b[1] for a, b in zip(even[::2], even[1::2], strict=True))
    # what was planted at the ends and over the cut is among them
    site = {(row[0], row[1]) for row in expected["Msite"]}
    assert {("chr2", 0), ("chr2", 16_380), ("chr10", 20_988)} <= site
    rows = result.summary
    assert rows["motif"][::4].tolist() == list(expected) == result.labels
    for row in rows.to_dict("records"):
        here = [hit for hit in expected[row["motif"]] if row["chrom"] in ("all", hit[0])]
        assert row["hits"] == len(here)
    assert rows["threshold"][rows["motif"] == "M3"].isna().all()
    for motif in result.labels:
        hits = result.hits(motif)
        assert list(zip(hits["chrom"], hits["start"], strict=True)) == [
            (hit[0], hit[1]) for hit in expected[motif]
        ]
        assert set(hits["motif"]) <= {motif} and (hits["p_value"] <= P).all()
    with pytest.raises(TcnfastError, match="is a scan for motifs, which has no calls"):
        result.calls("M3")
    with pytest.raises(TcnfastError, match="the scan has no motif 'NO'"):
        result.hits("NO")
    assert read_rows(result.path / "summary.tsv")[0] == list(motif_files.COLUMNS)
    record = run_record_of(result.path)
    assert record["motifs_without_hits"] == ["M3"] and record["skipped_contigs"] == ["chrUn_x"]
    assert record["background_from"] == "the scanned contigs"
    assert record["background"][0] == record["background"][3]


def test_neither_cuts_nor_threads_show(lab, tmp_path, monkeypatch):
    plain = files_in(scan(lab, tmp_path / "a").path)
    for module, name, value in (
        (pieces, "STRETCH_BASES", 2**24),
        (motif_run, "SEGMENT_BASES", 999),
        (motif_files, "GROUP", 1 << 20),
        (motif_files, "ROWS", 1 << 18),
        (seed_hits, "SEEDS", (9,)),
    ):
        monkeypatch.setattr(module, name, value)
    torch.set_num_threads(3)
    again = scan(lab, tmp_path / "b")
    assert files_in(again.path) == plain


@pytest.mark.parametrize("length", seed_hits.SEEDS)
def test_seeds_of_any_length(lab, length, monkeypatch):
    monkeypatch.setattr(seed_hits, "SEEDS", (length,))
    background = np.array([0.3, 0.2, 0.2, 0.3])
    units = [whole_units(motif, background) for motif in read_meme(lab / "m.meme")]
    cutoffs = [score_tail(matrix, background, P).cutoff(P) for matrix in units]
    found = brute(lab, background, chroms=["chr2"])
    with Genome(lab / "g.fa") as genome:
        codes = genome.codes("chr2", 0, SIZES["chr2"])
    motif, start, strand, lacks = unpack(find_hits(codes, codes.size, build_tables(units, cutoffs)))
    for index, rows in enumerate(found.values()):
        here = motif == index
        assert start[here].tolist() == [row[1] for row in rows]
        assert ["+-"[s] for s in strand[here]] == [row[5] for row in rows]
        scores = units[index].max(1).sum() - lacks[here]
        np.testing.assert_array_equal(scores / UNITS_PER_BIT, [row[4] for row in rows])
    # only placements that begin where asked, though they may reach further
    some = unpack(find_hits(codes, 16_384, build_tables(units, cutoffs)))[1]
    assert some.max() < 16_384 and len(some) == (start < 16_384).sum()


def test_what_holds_no_site():
    units = [np.array([[0, -9, -9, -9]] * 9)]
    tables = build_tables(units, [0])
    for codes in (np.zeros(0, np.uint8), np.full(50, 4, np.uint8), np.zeros(8, np.uint8)):
        assert find_hits(codes, codes.size, tables).size == 0
    assert find_hits(np.zeros(9, np.uint8), 9, tables).size == 1
    # no motif can have a hit
    assert find_hits(np.zeros(9, np.uint8), 9, build_tables(units, [1])).size == 0


def test_within_and_targets_and_background(lab, tmp_path):
    (tmp_path / "open.bed").write_text(
        "chr10\t500\t9000\nchr2\t16380\t16392\nchr2\t0\t11\nchr10\t8000\t12000\nchr10\t8100\t8200\n"
    )
    result = scan(
        lab,
        tmp_path / "s",
        targets=["site", "M9"],
        within=tmp_path / "open.bed",
        background=[0.4, 0.2, 0.2, 0.2],
        chroms=["chr2", "chr10"],
    )
    regions = {"chr2": [(0, 11), (16_380, 16_392)], "chr10": [(500, 12_000)]}
    full = brute(lab, both_strands([0.4, 0.2, 0.2, 0.2]))
    inside = {
        id: [
            row
            for row in full[id]
            if any(a <= row[1] and row[2] <= b for a, b in regions.get(row[0], []))
        ]
        for id in ("M9", "Msite")
    }
    assert 0 < check(result.path, inside) < sum(len(full[id]) for id in inside)
    assert run_record_of(result.path)["background"] == pytest.approx([0.3, 0.2, 0.2, 0.3])


def test_a_killed_scan_goes_on(lab, tmp_path, monkeypatch):
    whole = files_in(scan(lab, tmp_path / "a").path)
    seen = []

    def stopping(codes, starts, tables, scan=seed_hits.find_hits):
        seen.append(starts)
        if len(seen) > 3:
            raise KeyboardInterrupt
        return scan(codes, starts, tables)

    with monkeypatch.context() as patch:
        patch.setattr(seed_hits, "find_hits", stopping)
        with pytest.raises(KeyboardInterrupt):
            scan(lab, tmp_path / "b")
    kept = sorted(path.name for path in (tmp_path / "b.partial").glob("*.npy"))
    assert kept == ["calls.0.0-32768.npy"] and not (tmp_path / "b").exists()
    with pytest.raises(TcnfastError, match="other inputs or settings"):
        scan(lab, tmp_path / "b", p_value=1e-4, resume=True)
    left = []
    monkeypatch.setattr(
        seed_hits, "find_hits", lambda *args: left.append(args[1]) or find_hits(*args)
    )
    again = scan(lab, tmp_path / "b", resume=True)
    assert files_in(again.path) == whole and sum(left) == sum(SIZES[c] for c in SCANNED) - 2**15
    # and once more: it is there already
    seen_again = scan(lab, tmp_path / "b", resume=True)
    assert seen_again.summary.equals(again.summary)


def test_the_command(run, lab, tmp_path):
    code, out, err = run(
        "scan",
        lab / "g.fa",
        "--motifs",
        lab / "m.meme",
        "-o",
        "s",
        "--p-value",
        P,
        "--background",
        "uniform",
        "-c",
        "chr10",
        "--no-progress",
    )
    assert code == 0, err
    assert not out and "no hits of M3" in err and "given, both strands" in err
    check(tmp_path / "s", brute(lab, both_strands([0.25] * 4), chroms=["chr10"]))
    key = json.loads((tmp_path / "s" / "run.json").read_text())["key"]
    assert key["p_value"] == P and key["chroms"] == ["chr10"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tracks", "all"], "--tracks is for models; it does not go with --motifs"),
        (["--stride", "64"], "--stride is for models"),
        (["-m", "encode-v1"], "--model is for models"),
        (["--devices", "cpu,cpu"], "--devices is for models"),
        (["--background", "a,b"], "give four shares"),
        (["--background", "0.5,0.5"], "give four shares"),
        (["--p-value", "0.5"], "at most 0.01"),
        (["-t", "NOBODY"], "no motif of the id or name 'NOBODY'"),
        (["-c", "chr77"], "chr77"),
    ],
)
def test_what_does_not_go_with_motifs(run, lab, words, says):
    code, _, err = run("scan", lab / "g.fa", "--motifs", lab / "m.meme", "-o", "s", *words)
    assert code in (1, 2) and says in err


def test_flags_of_motifs_need_motifs(run, lab):
    code, _, err = run("scan", lab / "g.fa", "--p-value", "1e-5")
    assert code == 2 and "--p-value needs --motifs" in err


def test_a_genome_without_a_base(lab, tmp_path):
    write_fasta(tmp_path / "a.fa", {"chr1": b"ACCA" * 50})
    with pytest.raises(TcnfastError, match="holds no G in the contigs"):
        tcnfast.scan(tmp_path / "a.fa", out=tmp_path / "s", motifs=lab / "m.meme")


def test_too_many_motifs():
    with pytest.raises(TcnfastError, match="one scan takes"):
        build_tables([np.zeros((4, 4), np.int64)] * (packed_hits.MAX_MOTIFS + 1), [0])


@pytest.mark.slow  # compiling memelite takes 15 s
def test_real_motifs_as_memelite_finds_them():
    fimo = pytest.importorskip("memelite").fimo
    motifs = read_meme(DATABASE)[::60]
    codes = np.random.default_rng(1).integers(0, 4, 100_000, np.uint8)
    background = np.full(4, 0.25)
    matrices = {m.id: np.ascontiguousarray(m.probabilities.T) for m in motifs}
    # its pseudocount, so that both score alike
    logs = [np.log2(matrix.T + 1e-4) - np.log2(0.25 + 1e-4) for matrix in matrices.values()]
    units = [np.rint(matrix * UNITS_PER_BIT).astype(np.int64) for matrix in logs]
    cutoffs = [score_tail(matrix, background, 1e-4).cutoff(1e-4) for matrix in units]
    motif, start, strand, _ = unpack(find_hits(codes, codes.size, build_tables(units, cutoffs)))
    ours = set(zip(motif.tolist(), start.tolist(), strand.tolist(), strict=True))
    one_hot = np.eye(4, dtype=np.int8)[codes].T[None]
    theirs = set()
    found = fimo(matrices, np.ascontiguousarray(one_hot), bin_size=0.002, threshold=1e-4)
    for index, table in enumerate(found):
        theirs |= {
            (index, int(s), "+-".index(x))
            for s, x in zip(table["start"], table["strand"], strict=True)
        }
    # its p-values are of scores rounded to a 500th of a bit a column, ours to a 4,096th
    assert len(ours) > 250 and len(ours ^ theirs) < 0.02 * len(ours)


def test_start_up_needs_no_scan_of_models():
    words = "import sys, tcnfast.scan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


def test_strands_are_mirrored():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, 5_000, np.uint8)
    units = [whole_units(Motif("m", "m", rng.dirichlet(np.full(4, 0.3), 9)), np.full(4, 0.25))]
    tables = build_tables(units, [score_tail(units[0], np.full(4, 0.25), P).cutoff(P)])
    _, start, strand, lacks = unpack(find_hits(codes, codes.size, tables))
    mirrored = unpack(find_hits(reverse_complement(codes), codes.size, tables))
    here = set(zip(start.tolist(), strand.tolist(), lacks.tolist(), strict=True))
    there = zip(mirrored[1].tolist(), mirrored[2].tolist(), mirrored[3].tolist(), strict=True)
    assert here == {(5_000 - 9 - s, 1 - strand, lacks) for s, strand, lacks in there} and here


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("scores", [1000, 2**26])
def test_the_product_of_a_device_finds_the_same_hits(lab, device, scores, monkeypatch):
    """It is the code of the GPU, whatever runs it."""
    monkeypatch.setattr(product_hits, "SCORES", scores)
    with Genome(lab / "g.fa") as genome:
        codes = genome.codes("chr2", 16_000, 21_000)
        first = genome.codes("chr2", 0, 4_000)
    units = [whole_units(motif, np.full(4, 0.25)) for motif in read_meme(lab / "m.meme")]
    cutoffs = [score_tail(x, np.full(4, 0.25)).cutoff(P) for x in units]
    scan, tables = MotifProduct(units, cutoffs, torch.device(device)), build_tables(units, cutoffs)
    # starts whose sites reach behind them, and to the end of the codes
    for part, starts in ((codes, len(codes) - 30), (codes, len(codes)), (first, 1), (first[:5], 5)):
        expected = find_hits(part, starts, tables)
        np.testing.assert_array_equal(scan.find_hits(part, starts), expected)
        assert expected.size > 50 or starts < 10


def test_a_scan_on_a_device_writes_the_same_bytes(lab, tmp_path, monkeypatch):
    """Here the processor stands in for it."""
    scan(lab, tmp_path / "cpu")

    def on_device(finder, bases, device, backend):
        return MotifProduct(finder.units, finder.cutoffs, device).find_hits, 2

    monkeypatch.setattr(HitFinder, "prepared", on_device)
    scan(lab, tmp_path / "gpu")
    a, b = (files_in(tmp_path / name / "hits") for name in ("cpu", "gpu"))
    assert a == b and len(a) > 5
