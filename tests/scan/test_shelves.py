"""Small contigs are scanned in a row, and nothing of it shows."""

import gzip
import pickle

import numpy as np
import pytest
from support.scan import FP32, calling_model, files_in, random_letters, read_rows, write_fasta

import tcnfast
from tcnfast.genome.genome import Genome
from tcnfast.genome.intervals import read_bed
from tcnfast.pwm.meme import Motif, write_meme
from tcnfast.scan import job, narrowpeak, scan_genome, shelves
from tcnfast.scan.peaks import RUN
from tcnfast.scan.shelves import Laid

SIZES = {f"c{i}": size for i, size in enumerate((300, 1, 31, 32, 33, 999, 0, 64, 640, 2500, 70))}
SIZES |= {"large": 9_000} | {f"d{i}": 100 + 7 * i for i in range(60)} | {"e,1": 5_000, "last": 9}


@pytest.fixture(name="lab", scope="module")
def fixture_lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelves")
    letters = {name: random_letters(size, i) for i, (name, size) in enumerate(SIZES.items())}
    letters["d7"][:] = ord("N")
    letters["c9"][500:1200] = ord("N")
    write_fasta(folder / "g.fa", letters)
    calling_model().save(folder / "model")
    rng = np.random.default_rng(0)
    motifs = [Motif(f"M{w}", f"M{w}", rng.dirichlet(np.full(4, 0.3), w)) for w in (6, 9, 15)]
    write_meme(folder / "m.meme", motifs, [9] * 3)
    rows = [(name, a, b) for name, size in SIZES.items() for a, b in ((0, 60), (200, 900))]
    rows = [(name, a, min(b, SIZES[name])) for name, a, b in rows if a < SIZES[name]]
    (folder / "within.bed").write_text("".join(f"{n}\t{a}\t{b}\n" for n, a, b in rows[::2]))
    return folder


@pytest.fixture(name="on_shelves")
def fixture_on_shelves(monkeypatch):
    """Everything below 6,000 bases goes on shelves of 2,048 steps."""

    def begin():
        monkeypatch.setattr(shelves, "MANY", 0)
        monkeypatch.setattr(shelves, "SMALL", 6_000)
        monkeypatch.setattr(shelves, "stretch_steps", lambda stride: 2**16 // stride)

    return begin


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(max_gap=2_000),
        dict(min_length=150, stride=64, cutoff="0.1"),
        dict(within="within.bed"),
        dict(strand="max", batch_size=3),
        pytest.param(dict(device=None, devices="cpu,cpu"), marks=pytest.mark.slow),
    ],
)
def test_calls_are_those_of_every_contig_by_itself(lab, tmp_path, on_shelves, options):
    if "within" in options:
        options = options | {"within": lab / options["within"]}
    options = {k: v for k, v in ({**FP32, "chroms": "all"} | options).items() if v is not None}
    apart = tcnfast.scan(lab / "g.fa", lab / "model", tmp_path / "apart", **options)
    on_shelves()
    laid = []
    before = Laid.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Laid, "__init__", lambda self, *x: (before(self, *x), laid.append(self))[0])
        together = tcnfast.scan(lab / "g.fa", lab / "model", tmp_path / "together", **options)
    assert 2 <= len(laid[0].shelves) < 20 and len(laid[0].sizes) < 25
    files = files_in(apart.path)
    assert files == files_in(together.path) and len(files["summary.tsv"].splitlines()) > 200
    assert sum(len(apart.calls(label)) for label in apart.labels) > 3


@pytest.mark.parametrize("within", [False, True])
def test_hits_are_those_of_every_contig_by_itself(lab, tmp_path, on_shelves, within):
    options = dict(motifs=lab / "m.meme", chroms="all", p_value=1e-3)
    if within:
        options["within"] = lab / "within.bed"
    apart = tcnfast.scan(lab / "g.fa", None, tmp_path / "apart", **options)
    on_shelves()
    together = tcnfast.scan(lab / "g.fa", None, tmp_path / "together", **options)
    files = files_in(apart.path)
    assert files == files_in(together.path)
    hits = [gzip.decompress(data) for name, data in files.items() if name.endswith(".bed.gz")]
    assert len(hits) == 3 and b"".join(hits).count(b"\n") > 20


def test_the_process_that_writes_knows_shelves(lab, tmp_path, on_shelves, monkeypatch):
    apart = tcnfast.scan(lab / "g.fa", lab / "model", tmp_path / "a", chroms="all", **FP32)
    on_shelves()
    monkeypatch.setattr(scan_genome, "WORTH_A_PROCESS", 0)
    together = tcnfast.scan(lab / "g.fa", lab / "model", tmp_path / "b", chroms="all", **FP32)
    assert files_in(apart.path) == files_in(together.path)


def test_tracks_keep_every_contig_by_itself(lab, tmp_path, on_shelves):
    options = dict(chroms="all", tracks="REST", **FP32)
    apart = tcnfast.scan(lab / "g.fa", lab / "model", tmp_path / "a", **options)
    on_shelves()
    together = tcnfast.scan(lab / "g.fa", lab / "model", tmp_path / "b", **options)
    assert files_in(apart.path) == files_in(together.path)


@pytest.mark.parametrize("motifs", [False, True])
def test_rows_of_contigs_only_where_asked_for(lab, tmp_path, on_shelves, monkeypatch, motifs):
    options = dict(chroms="all", motifs=lab / "m.meme") if motifs else dict(chroms="all", **FP32)
    model = None if motifs else lab / "model"
    whole = tcnfast.scan(lab / "g.fa", model, tmp_path / "whole", **options)
    on_shelves()
    monkeypatch.setattr(job, "MANY", 0)
    short = tcnfast.scan(lab / "g.fa", model, tmp_path / "short", **options)
    asked = tcnfast.scan(lab / "g.fa", model, tmp_path / "asked", per_contig=True, **options)
    assert files_in(whole.path) == files_in(asked.path)
    rows = [row for row in read_rows(whole.path / "summary.tsv") if "all" in row]
    head, *found = read_rows(short.path / "summary.tsv")
    assert found == rows and len(found) == 3 and "chrom" in head


def test_a_row_of_contigs_reads_as_they_do(lab):
    with Genome(lab / "g.fa") as genome:
        sizes = dict(genome.sizes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shelves, "MANY", 0)
            patch.setattr(shelves, "SMALL", 6_000)
            laid = Laid(genome, sizes, 32, 500)
        laid = pickle.loads(pickle.dumps(laid))
        assert list(laid.sizes) == ["c0 and 10 more", "large", "d0 and 61 more"]
        for name, shelf in laid.shelves.items():
            whole = laid.codes(name, -100, laid.sizes[name] + 100)
            known = np.zeros(whole.size, bool)
            for contig, size, first in zip(*shelf, strict=True):
                at = 100 + 32 * first
                np.testing.assert_array_equal(whole[at : at + size], genome.codes(contig))
                known[at : at + size] = True
            assert (np.diff(shelf.firsts) * 32 - shelf.sizes[:-1] >= 500).all()
            assert (whole[~known] == 4).all()
            for start, end in ((0, 1), (50, 5_000), (999, 1_000), (3_000, laid.sizes[name])):
                np.testing.assert_array_equal(
                    laid.codes(name, start, end), whole[100 + start : 100 + end]
                )
        regions = laid.within(read_bed(lab / "within.bed", sizes))
        assert set(regions.chrom) <= set(laid.sizes)
        laid.close()


def test_lines_of_several_contigs():
    calls = np.zeros(3, RUN)
    calls["first"], calls["last"], calls["best_at"] = [0, 1, 0], [2, 1, 0], [1, 1, 0]
    names, sizes, contig = ["a", "bb", "c"], np.array([90, 99, 20]), np.array([0, 0, 2])
    got = narrowpeak.narrowpeak_lines(names, "X", calls, 32, sizes, contig)
    want = narrowpeak.narrowpeak_lines("a", "X", calls[:2], 32, 90)
    assert got == want + narrowpeak.narrowpeak_lines("c", "X", calls[2:], 32, 20)
    assert got.startswith(b"a\t0\t90\t") and b"\nc\t0\t20\t" in got
