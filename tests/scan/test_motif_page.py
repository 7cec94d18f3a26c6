"""index.html and the session of IGV of a scan for motifs: what is in them, and that names do
nothing."""

from xml.etree import ElementTree

import numpy as np
import pytest
from support.scan import random_letters, write_fasta
from support.scan_page import element, facts_of, unpack

import tcnfast
from tcnfast.genome.codes import encode
from tcnfast.pwm.meme import Motif, write_meme
from tcnfast.scan import motif_page, pieces

SITE = b"TGACGTCATTGG"
EVIL = "</script><img/src=x/onerror=alert(1)>"


def motif(name, id, site):
    return Motif(name, id, np.eye(4)[encode(site.decode())] * 0.88 + 0.03)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """g.fa, two contigs and many small ones, with one motif planted; m.meme of that one, one that
    is as rare as chance has it, and one that has no hit."""
    folder = tmp_path_factory.mktemp("lab")
    sizes = {"chr2": 50_000, "chr10": 21_000} | {f"small{i}": 900 for i in range(3)}
    contigs = {name: random_letters(size, i) for i, (name, size) in enumerate(sizes.items())}
    for start in range(100, 49_000, 1_000):
        contigs["chr2"][start : start + 12] = np.frombuffer(SITE, np.uint8)
    contigs["small1"][40:52] = np.frombuffer(SITE, np.uint8)
    write_fasta(folder / "g.fa", contigs)
    motifs = [
        motif("RARE", "M2", b"GGATTACA"),
        motif("SITE::X", "M1", SITE),
        motif("SHORT", "M3", b"ACG"),
    ]
    write_meme(folder / "m.meme", motifs, [50] * 3)
    return folder


@pytest.fixture(autouse=True)
def cuts(monkeypatch):
    monkeypatch.setattr(pieces, "STRETCH_BASES", 2**15)
    monkeypatch.setattr(pieces, "LEAST_STEPS", 1)


def scan(lab, out, **options):
    return tcnfast.scan(lab / "g.fa", out=out, motifs=lab / "m.meme", chroms="all", **options)


@pytest.fixture
def scanned(lab, tmp_path):
    return scan(lab, tmp_path / "scan")


def test_the_page_holds_every_hit_of_the_scan(scanned):
    page = (scanned.path / "index.html").read_text()
    facts = facts_of(page)
    assert [label["name"] for label in facts["labels"]] == ["SITE::X M1", "RARE M2"]
    assert "2 of 3" in page and "p-value of at most 0.0001" in page
    parts = facts["units"], len(facts["labels"]), facts["bins"]
    bins, hits = unpack(element(page, "calls"), *parts)
    contigs = [name for name, _ in facts["contigs"]]
    for index, id in enumerate(("M1", "M2")):
        table = scanned.hits(id)
        want = {
            (chrom, start, end, round(100 * score))
            for chrom, start, end, score in zip(
                table["chrom"], table["start"], table["end"], table["score"], strict=True
            )
        }
        got = {
            (contigs[contig], *row)
            for (label, contig), rows in hits.items()
            for row in rows
            if label == index
        }
        assert got == want and bins[index].sum() == len(table) > 0
        best = facts["best"][index][0]
        assert best[3] == max(row[3] for row in want)
    planted = contigs.index("small1")
    assert (40, 52) in [row[:2] for row in hits[0, planted]], "contigs that are scanned as one"


def test_what_chance_gives_is_of_the_bases_that_were_scanned(lab, tmp_path, scanned):
    """In random bases a motif has the hits of chance, also inside a BED file alone."""
    (tmp_path / "open.bed").write_text("chr2\t0\t50000\n")
    part = scan(lab, tmp_path / "part", within=tmp_path / "open.bed", p_value=1e-3)
    whole = scan(lab, tmp_path / "whole", p_value=1e-3)
    for folder in (part, whole):
        page = (folder.path / "index.html").read_text()
        row = page[page.index('<th scope="row" class="" data-value="RARE M2"') :]
        ratio = float(row.split('data-value="')[4].partition('"')[0])
        assert 0.6 < ratio < 1.6, folder
    assert "Only hits inside" in (part.path / "index.html").read_text()


def test_only_the_motifs_with_most_hits_for_chance_are_shown(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(motif_page, "MOTIFS", 1)
    page = (scan(lab, tmp_path / "scan").path / "index.html").read_text()
    assert [label["name"] for label in facts_of(page)["labels"]] == ["SITE::X M1"]
    assert "shows the 1 of 2 motifs" in page


def test_the_session_names_files_that_are_there(lab, scanned):
    root = ElementTree.parse(scanned.path / "igv_session.xml").getroot()
    assert (scanned.path / root.get("genome")).resolve() == lab / "g.fa"
    paths = [row.get("path") for row in root.find("Resources")]
    assert paths == ["hits/M1.SITE__X.bed.gz", "hits/M2.RARE.bed.gz"]
    assert all((scanned.path / path).exists() for path in paths)
    chrom, _, place = root.get("locus").partition(":")
    assert chrom in ("chr2", "small1") and int(place.partition("-")[0]) >= 1


def test_a_scan_says_what_to_open_or_leaves_the_page_out(lab, tmp_path, run):
    words = ["scan", lab / "g.fa", "--motifs", lab / "m.meme", "--no-progress", "-o"]
    code, _, err = run(*words, "seen")
    assert code == 0 and "seen/index.html in a browser" in err
    code, _, err = run(*words, "bare", "--no-page")
    assert code == 0 and "to see them" not in err and not (tmp_path / "bare/index.html").exists()


def test_without_a_hit_the_page_says_so(lab, tmp_path):
    page = (scan(lab, tmp_path / "scan", targets="SHORT").path / "index.html").read_text()
    assert facts_of(page)["labels"] == [] and "0 of 1" in page


def test_names_are_inert(tmp_path):
    contigs = {"chr<b>'\"&": np.frombuffer(SITE * 40, np.uint8)}
    write_fasta(tmp_path / "g<b>.fa", contigs)
    write_meme(tmp_path / "m.meme", [motif(EVIL, f"M1{EVIL}", SITE)], [50])
    found = tcnfast.scan(
        tmp_path / "g<b>.fa",
        out=tmp_path / "scan",
        motifs=tmp_path / "m.meme",
        chroms="all",
        background="uniform",
    )
    assert int(found.summary["hits"].max()) > 0
    page = (found.path / "index.html").read_text()
    assert "<img" not in page and "<b>" not in page and page.count("</script>") == 4
    assert EVIL in facts_of(page)["labels"][0]["name"]
    root = ElementTree.parse(found.path / "igv_session.xml").getroot()
    (track,) = root.find("Panel")
    assert (found.path / track.get("id")).exists() and root.get("locus") is None
