"""hub.txt and the bigBeds beside it, by the rules of UCSC's track hub documentation."""

import re
import shutil
import struct
from urllib.parse import unquote

import numpy as np
import pyBigWig
import pytest
from support.scan import calling_model, read_rows

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.scan import bigbed
from tcnfast.scan.bigbed import write_bigbed, write_rows
from tcnfast.scan.ucsc_hub import assembly_of, check_hub, hub_value

pytest.importorskip("pybigtools", reason="pybigtools is not installed")
OPTIONS = dict(cutoff="0.5", chroms="all", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def scanned(fasta, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("hub") / "scan"
    return tcnfast.scan(fasta, model, out, hub="hg19", tracks="all", **OPTIONS)


def stanzas_of(text):
    """Stanzas as UCSC reads them: paragraphs of lines "name value"; comments begin with #."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.splitlines()]
        assert not any(line.endswith("\\") for line in lines), "goes on in the next line"
        pairs = [line.split(" ", 1) for line in lines if not line.startswith("#")]
        assert len({name for name, _ in pairs}) == len(pairs), "a setting twice"
        if pairs:
            found.append(dict(pairs))
    return found


def checked(folder):
    """The hub, genome and track stanzas of a hub that keeps the rules."""
    hub, genome, *tracks = stanzas_of((folder / "hub.txt").read_text())
    assert next(iter(hub)) == "hub" and hub["useOneFile"] == "on"
    assert not {"shortLabel", "longLabel", "email"} - set(hub) and " " not in hub["hub"]
    assert next(iter(genome)) == "genome" and " " not in genome["genome"]
    known = {}
    for track in tracks:
        name = track["track"]
        assert next(iter(track)) == "track" and name not in known
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)
        assert 0 < len(track["shortLabel"]) <= 17 and 0 < len(track["longLabel"]) <= 76
        assert track["type"] in ("bigNarrowPeak", "bigWig 0 1")
        assert track.get("visibility", "hide") in ("hide", "dense", "full", "pack", "squish")
        if track.get("compositeTrack") == "on":
            assert "bigDataUrl" not in track
        else:
            parent, state = track["parent"].split()
            assert known[parent]["compositeTrack"] == "on" and state in ("on", "off")
            assert known[parent]["type"] == track["type"]
            assert not re.search(r"[^\x21-\x7e]|[<>\"'\\#?]", track["bigDataUrl"])
            path = folder / unquote(track["bigDataUrl"])
            with pyBigWig.open(str(path)) as file:
                assert file.isBigWig() == (track["type"] == "bigWig 0 1")
        known[name] = track
    return hub, genome, list(known.values())


def test_a_hub_keeps_the_rules_and_names_every_label(scanned):
    _, genome, tracks = checked(scanned.path)
    assert genome == {"genome": "hg19"}
    files = [track["bigDataUrl"] for track in tracks if "bigDataUrl" in track]
    calls = [f"hub/{scanned.peaks_of(x).stem}.bb" for x in scanned.called_labels]
    assert sorted(files) == sorted(calls + [f"tracks/{p.name}" for p in scanned.tracks.values()])
    assert len(calls) > 1


def test_its_bigbeds_hold_every_call(scanned):
    for label in scanned.called_labels:
        rows = read_rows(scanned.peaks_of(label))
        path = scanned.path / "hub" / f"{scanned.peaks_of(label).stem}.bb"
        with pyBigWig.open(str(path)) as file:
            assert file.isBigBed() and b"table bigNarrowPeak" in file.SQL()
            found = [
                [chrom, str(start), str(end), *rest.split("\t")]
                for chrom, size in file.chroms().items()
                for start, end, rest in file.entries(chrom, 0, size) or []
            ]
        assert sorted(found) == sorted(rows)
        # 10 columns, of which 6 are plain BED: a reader takes the seventh for no thickStart
        assert struct.unpack_from("<HH", path.read_bytes(), 32) == (10, 6)


def test_the_same_scan_gives_the_same_hub(fasta, model, scanned, tmp_path):
    again = tcnfast.scan(fasta, model, tmp_path / "again", hub="hg19", tracks="all", **OPTIONS)
    names = ["hub.txt", *(f"hub/{path.name}" for path in (scanned.path / "hub").iterdir())]
    for name in names:
        assert (again.path / name).read_bytes() == (scanned.path / name).read_bytes()


def test_a_contig_is_found_among_very_many(tmp_path):
    """More contigs than a block of the index holds, in no order."""
    names = [f"c{i}" for i in np.random.default_rng(0).permutation(2_000)]
    rest = "L\t500\t.\t0.5\t-1\t-1\t9\n"
    lines = [f"{name}\t{64 * i}\t{64 * i + 64}\t{rest}" for i, name in enumerate(names)]
    (tmp_path / "x.narrowPeak").write_text("".join(lines))
    sizes = dict.fromkeys(names, 1_000_000)
    write_bigbed(tmp_path / "x.narrowPeak", tmp_path / "x.bb", sizes)
    with pyBigWig.open(str(tmp_path / "x.bb")) as file:
        assert list(file.chroms()) == sorted(names)
        for i, name in enumerate(names):
            ((start, end, _),) = file.entries(name, 0, 1_000_000)
            assert (start, end) == (64 * i, 64 * i + 64)


# which genome


def test_the_assembly_is_known_by_its_sizes_or_named():
    assert assembly_of("auto", [63_025_520]) == "hg19" and assembly_of("auto", [1000]) is None
    assert assembly_of("dm6", [63_025_520]) == "dm6"


def test_an_unknown_assembly_is_said(fasta, model, tmp_path, caplog):
    scan = tcnfast.scan(fasta, model, tmp_path / "scan", hub="auto", **OPTIONS)
    _, genome, _ = checked(scan.path)
    text = (scan.path / "hub.txt").read_text()
    assert genome["genome"] == "unknown" and "Write UCSC's name of it" in text
    assert "known by its sizes: hub='hg38' names it" in caplog.text


# what is refused, and what goes wrong


def test_what_cannot_be_done_is_said_before_the_scan(fasta, model, tmp_path, monkeypatch):
    out = tmp_path / "scan"
    with pytest.raises(TcnfastError, match="hub 'hg19; rm': give UCSC's name of the"):
        tcnfast.scan(fasta, model, out, hub="hg19; rm")
    with pytest.raises(TcnfastError, match="hub is for models"):
        tcnfast.scan(fasta, out=out, hub="hg19", motifs="m.meme")
    with pytest.raises(TcnfastError, match="hub: long has 4294967296 bases, a bigBed at most"):
        check_hub({"long": 2**32})
    monkeypatch.setattr(bigbed, "find_spec", lambda name: None)
    with pytest.raises(TcnfastError, match=r"hub: pybigtools is not .*install 'tcnfast\[hub\]'"):
        tcnfast.scan(fasta, model, out, hub="hg19")
    assert not out.exists()


ROW = ("chr1", 0, 64, "L\t500\t.\t0.5\t-1\t-1\t9")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_stops_the_rows_stops_the_run(tmp_path, error, capfd):
    def rows():
        yield ROW
        raise error

    with pytest.raises(error):
        write_rows(tmp_path / "x.bb", {"chr1": 1000}, rows(), 2)


def test_a_bigbed_that_lacks_rows_is_an_error(tmp_path, capfd):
    with pytest.raises(OSError, match="not written whole"):
        write_rows(tmp_path / "x.bb", {"chr1": 1000}, iter([ROW]), 2)
    with pytest.raises(OSError, match="not written whole"):
        write_rows(tmp_path / "y.bb", {"chr1": 1000}, iter([]), 0)


def test_a_full_disk_is_said_in_one_line(fasta, model, tmp_path, monkeypatch, cli):
    usage = shutil.disk_usage(tmp_path)._replace(free=2**16)
    monkeypatch.setattr(bigbed.shutil, "disk_usage", lambda path: usage)
    options = ("--cutoff", "0.5", "--hub", "hg19", "-o", tmp_path / "scan")
    code, lines = cli(fasta, "-m", model, *options)
    assert code == 1
    assert sum("No space left on device" in line for line in lines) == 1


def test_names_are_inert_in_a_hub(fasta, tmp_path):
    evil = "</script><img src=x onerror=alert(1)>\\"
    network = calling_model(labels=[f"{evil}@K562", "é漢\"'%20#x@y", "a" * 90])
    genome = tmp_path / "g<b>#.fa"
    genome.write_text(fasta.read_text().replace(">chr20", f">{evil.replace(' ', '_')}", 1))
    scan = tcnfast.scan(genome, network, tmp_path / "scan", hub="hg19", tracks="all", **OPTIONS)
    _, _, tracks = checked(scan.path)
    assert len(tracks) == 2 + 3 + len(scan.called_labels)
    text = (scan.path / "hub.txt").read_text()
    assert "<" not in text.replace("<label>", "") and '"' not in text


def test_a_value_is_one_line():
    assert hub_value("a\tb\nc\u2028d\\", 20) == "a_b_c_d_"
    assert hub_value("abcdef", 4) == "abc…" and hub_value("abcd", 4) == "abcd"
