"""index.html of a scan, and the small files for other programs: what is in them."""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree

import numpy as np
import pytest
from support.scan import calling_model, files_in, read_rows
from support.scan_page import element, facts_of, unpack

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.scan.call_columns import CallColumns, read_call_columns
from tcnfast.scan.page_calls import BEST, PageCalls, Shown, best_first

BESIDE = ["igv_session.xml", "jbrowse.json", "tcnfast_mqc.tsv"]


def unpacked(page, facts):
    """Bins (labels, bins), and the calls of each unit as rows (start, end, score), in bases."""
    bins, calls = unpack(
        element(page, "calls"), facts["units"], len(facts["labels"]), facts["bins"]
    )
    for (_, contig), rows in calls.items():
        size = facts["contigs"][contig][1]
        rows[:] = [(a * 32, min(b * 32, size), score) for a, b, score in rows]
    return bins, calls


@pytest.fixture(scope="module")
def scanned(fasta, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "scan"
    return tcnfast.scan(fasta, model, out, cutoff="0.5", tracks="all", device="cpu")


@pytest.fixture(scope="module")
def page(scanned):
    return (scanned.path / "index.html").read_text()


def test_the_page_holds_every_call_of_the_scan(scanned, page):
    facts = facts_of(page)
    bins, calls = unpacked(page, facts)
    contigs = [name for name, _ in facts["contigs"]]
    assert sorted(x["name"] for x in facts["labels"]) == sorted(scanned.labels)
    for index, label in enumerate(x["name"] for x in facts["labels"]):
        table = scanned.calls(label)
        score = np.array([int(row[4]) for row in read_rows(scanned.peaks_of(label))], int)
        for number, contig in enumerate(contigs):
            here = table["chrom"] == contig
            want = zip(table["start"][here], table["end"][here], score[here], strict=True)
            assert calls.get((index, number), []) == [tuple(map(int, row)) for row in want]
        assert bins[index].sum() == len(table) == facts["labels"][index]["calls"]
        best = facts["best"][index]
        assert [row[3] for row in best] == sorted(score, reverse=True)[:BEST]
        names = {(contigs[c], start, end) for c, start, end, _ in best}
        assert names <= set(zip(table["chrom"], table["start"], table["end"], strict=True))
    assert sum(len(rows) for rows in calls.values()) > 20


def test_the_page_needs_nothing_from_elsewhere(page):
    without = page.replace(element(page, "igv-source"), "").replace(element(page, "calls"), "")
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", without)
    assert len(page) < 2_000_000
    source = gzip.decompress(base64.b64decode(element(page, "igv-source")))
    assert b"createBrowser" in source and b"</script" not in source


def test_its_words_say_what_ran(scanned, page):
    assert "every 32 bp of" in page and "both strands, their mean" in page
    total = scanned.summary.query("chrom == 'all'")["calls"].sum()
    assert f"<dd>{total:,}</dd>" in page


def test_the_same_scan_gives_the_same_page(fasta, model, scanned, tmp_path):
    again = tcnfast.scan(
        fasta, model, scanned.path.parent / "again", cutoff="0.5", tracks="all", device="cpu"
    )
    for name in ("index.html", *BESIDE):
        assert (again.path / name).read_bytes() == (scanned.path / name).read_bytes()


def test_no_page_and_labels_of_the_page(fasta, model, scanned, tmp_path):
    bare = tcnfast.scan(fasta, model, tmp_path / "bare", no_page=True, device="cpu")
    assert "index.html" not in files_in(bare.path, ())
    wanted = scanned.labels[1:]
    out = tmp_path / "some"
    some = tcnfast.scan(fasta, model, out, page_labels=wanted, cutoff="0.5", device="cpu")
    facts = facts_of((some.path / "index.html").read_text())
    assert [x["name"] for x in facts["labels"]][:2] == wanted and facts["at_first"] == [0, 1]
    with pytest.raises(TcnfastError, match="page_labels: the model has no label 'nobody'"):
        tcnfast.scan(fasta, model, tmp_path / "x", page_labels="nobody", device="cpu")


def test_names_are_inert(tmp_path, fasta):
    """A label, a contig and a genome that would be markup."""
    evil = '</script><img src=x onerror="alert(1)">'
    network = calling_model(labels=[f"A{evil}@K562", "B&<b>@x"])
    genome = tmp_path / "genome<b>.fa"
    text = fasta.read_text()
    genome.write_text(text.replace(">chr1", f">{evil.replace(' ', '_')}", 1))
    scan = tcnfast.scan(
        genome, network, tmp_path / "scan", cutoff="0.5", chroms="all", device="cpu"
    )
    page = (scan.path / "index.html").read_text()
    assert "<img" not in page and "<b>" not in page
    assert facts_of(page)["labels"][0]["name"].startswith("A</script>") or "B&<b>@x" in str(
        facts_of(page)["labels"]
    )
    session = ElementTree.parse(scan.path / "igv_session.xml").getroot()
    assert session.get("genome").endswith("genome<b>.fa")


EVIL = ["=cmd|'\"</script><img src=x onerror=alert(1)>@K562", "#a\\", '"b"\u00e9@\U0001f9ec']
HOSTS = {"markup": "a\t\"'<b>&\u202e\n#%41?.fa", "no UTF-8": os.fsdecode(b"g\xe4\x01.fa")}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_names_are_inert_in_every_file(tmp_path, fasta, host):
    """Labels, a contig and a genome's file whose names are markup, quotes, tabs, line ends."""
    network = calling_model(labels=EVIL)
    genome = tmp_path / host
    contig = "chr\"20'&<script>;:|=\\"
    genome.write_text(fasta.read_text().replace(">chr20", f">{contig}", 1))
    options = dict(cutoff="0.5", chroms="all", device="cpu", tracks="all")
    scan = tcnfast.scan(genome, network, tmp_path / "scan", **options)
    assert len(scan.called_labels) == 3 and contig in set(scan.calls(EVIL[0])["chrom"])

    root = ElementTree.parse(scan.path / "igv_session.xml").getroot()
    if host == HOSTS["markup"]:
        assert (scan.path / root.get("genome")).resolve() == genome.resolve()
    tracks = list(root.find("Panel"))
    assert {row.tag for row in tracks} == {"Track"} and len(tracks) == 6
    assert all((scan.path / row.get("id")).is_file() for row in tracks)
    config = json.loads((scan.path / "jbrowse.json").read_text())
    uri = config["assemblies"][0]["sequence"]["adapter"]["fastaLocation"]["uri"]
    where = os.fsdecode(unquote_to_bytes(uri))
    assert uri.isascii() and (scan.path / where).resolve() == genome.resolve()
    names = [row.get("name") for row in tracks] + [row["name"] for row in config["tracks"]]
    names.append(config["assemblies"][0]["name"])
    lines = (scan.path / "tcnfast_mqc.tsv").read_text().split("\n")
    rows = [line.split("\t") for line in lines if line and not line.startswith("# ")]
    assert [len(row) for row in rows] == [5] * 4
    assert not any(re.match("[#=+@-]", row[0]) for row in rows)
    names += [row[0] for row in rows]
    assert not any(re.search("[<>&\"'`\\\\\t\r\n]", name) for name in names), names
    page = (scan.path / "index.html").read_text(encoding="utf-8")
    assert "<img" not in page and "<b>" not in page and "<script>;" not in page


def test_multiqc_itself_reads_the_table(scanned, tmp_path):
    if not shutil.which("multiqc"):
        pytest.skip("multiqc is not installed")
    command = ["multiqc", "--quiet", "--outdir", tmp_path, scanned.path]
    subprocess.run(command, check=True, capture_output=True)
    (table,) = tmp_path.glob("multiqc_data/multiqc_tcnfast_calls*.txt")
    calls = scanned.summary.query("chrom == 'all'").set_index("label")["calls"]
    assert {row[0]: int(row[1]) for row in read_rows(table)[1:]} == calls.to_dict()


# what is packed


def columns(calls):
    """CallColumns of {contig: [(start, end, score)]}."""
    rows = [row for part in calls.values() for row in part]
    first = np.cumsum([0, *map(len, calls.values())])
    start, end, score = np.array(rows, np.int64).reshape(-1, 3).T
    return CallColumns(list(calls), first, start, end, score)


def test_contigs_with_few_calls_give_way_when_the_budget_is_spent():
    rng = np.random.default_rng(0)

    def some(n):
        return [(int(s), int(s) + 64, 500) for s in np.sort(rng.integers(0, 45_000, n))]

    shown = Shown.of({"chr1": 100_000, "chr2": 100_000, "chr3": 50_000})
    pages = PageCalls(shown, 32, 6 * 145)
    pages.add(columns({"chr1": some(40), "chr2": some(100), "chr3": some(30)}))
    pages.add(columns({"chr2": some(20), "elsewhere": some(5)}))
    units, text = pages.packed()
    assert units == [[0, 1, 100], [0, 0, 40]]
    bins, calls = unpack(text, units, 2, shown.bins)
    assert bins.sum(1).tolist() == [170, 20] and set(calls) == {(0, 1), (0, 0)}


def test_a_genome_of_many_contigs_shows_the_longest():
    sizes = {f"c{i}": 100 + i for i in range(500)}
    shown = Shown.of(sizes)
    assert list(shown.sizes) == [f"c{i}" for i in range(440, 500)]
    assert shown.bins <= 4_000 + 60


def test_labels_that_can_be_trusted_come_first():
    rows = [
        dict(label="c", expected_precision=float("nan"), grade="A"),
        dict(label="b", expected_precision=0.5, grade="B"),
        dict(label="a", expected_precision=0.6, grade="A"),
        dict(label="d", expected_precision=0.7, grade="A"),
    ]
    assert [row["label"] for row in best_first(rows)] == ["d", "a", "c", "b"]


# the calls are read


def test_calls_are_read_as_pandas_reads_them(scanned):
    for label in scanned.labels:
        table, calls = scanned.calls(label), read_call_columns(scanned.peaks_of(label))
        np.testing.assert_array_equal(calls.start, table["start"])
        np.testing.assert_array_equal(calls.end, table["end"])
        names = np.repeat(calls.chroms, np.diff(calls.first)) if len(calls) else []
        assert list(names) == table["chrom"].tolist()


GOOD = "chr1\t5\t70\tL\t930\t.\t0.9305\t-1\t-1\t17\n"


@pytest.mark.parametrize(
    "text, line",
    [
        (GOOD + "chr1\t5\t70\tL\t930\t.\t0.9305\t-1\t-1\n", 2),
        (GOOD + GOOD.replace("\t5\t", "\tx\t"), 2),
        (GOOD.replace("\t70\t", "\t5\t"), 1),
        (GOOD.replace("\t70\t", "\t\t"), 1),
        (GOOD + GOOD.rstrip("\n"), 2),
        (GOOD + "\n", 2),
        (GOOD.replace("\t5\t", f"\t{10**19}\t"), 1),
    ],
    ids=["columns", "number", "empty", "none", "cut", "blank", "huge"],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, text, line):
    path = tmp_path / "x.narrowPeak"
    path.write_text(text)
    with pytest.raises(TcnfastError, match=rf"x.narrowPeak:{line}: no narrowPeak line"):
        read_call_columns(path)


def test_no_file_and_an_empty_one_hold_no_calls(tmp_path):
    (tmp_path / "empty").touch()
    for name in ("none", "empty"):
        calls = read_call_columns(tmp_path / name)
        assert len(calls) == 0 and calls.chroms == []


# files for other programs


def test_sessions_name_files_that_are_there(scanned, fasta):
    root = ElementTree.parse(scanned.path / "igv_session.xml").getroot()
    assert (scanned.path / root.get("genome")).resolve() == fasta.resolve()
    paths = [resource.get("path") for resource in root.find("Resources")]
    assert paths == [track.get("id") for track in root.find("Panel")] and paths
    assert all((scanned.path / path).is_file() for path in paths)
    assert any(path.endswith(".bw") for path in paths)
    config = json.loads((scanned.path / "jbrowse.json").read_text())
    assembly = config["assemblies"][0]
    reference = unquote(assembly["sequence"]["adapter"]["fastaLocation"]["uri"])
    assert (scanned.path / reference).resolve() == fasta.resolve()
    for track in config["tracks"]:
        assert track["assemblyNames"] == [assembly["name"]]
        (where,) = (v["uri"] for k, v in track["adapter"].items() if k.endswith("Location"))
        assert unquote(where) in paths
    ids = [track["trackId"] for track in config["tracks"]]
    assert len(set(ids)) == len(ids)
    (view,) = config["defaultSession"]["views"]
    assert view["init"]["tracks"] == ids and view["init"]["assembly"] == assembly["name"]


def test_sessions_open_at_the_highest_call_of_the_first_label(scanned):
    config = json.loads((scanned.path / "jbrowse.json").read_text())
    locus = config["defaultSession"]["views"][0]["init"]["loc"]
    assert ElementTree.parse(scanned.path / "igv_session.xml").getroot().get("locus") == locus
    chrom, first, last = re.fullmatch(r"(.+):(\d+)-(\d+)", locus).groups()
    label = config["tracks"][0]["name"].removesuffix(" calls")
    score = np.array([int(row[4]) for row in read_rows(scanned.peaks_of(label))])
    best = scanned.calls(label).iloc[score.argmax()]
    assert chrom == best["chrom"]
    assert int(first) == max(1, best["start"] - 9_999)
    assert int(last) == min({"chr20": 100_000, "chr21": 70_017}[chrom], best["end"] + 10_000)


def test_the_table_for_multiqc(scanned):
    lines = (scanned.path / "tcnfast_mqc.tsv").read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert "# plot_type: 'table'" in head
    rows = [line.split("\t") for line in lines[len(head) :]]
    assert {len(row) for row in rows} == {5} and rows[0][0] == "Label"
    calls = scanned.summary.query("chrom == 'all'").set_index("label")["calls"]
    assert {row[0]: int(row[1]) for row in rows[1:]} == calls.to_dict()
