"""What tcnfast doctor says of files: sound ones, and each way in which they are not."""

import gzip
import json
import os
import random

import numpy as np
import pytest
from support.fuzz import MOTIFS, mutated, parsers, place

import tcnfast
from tcnfast.doctor.examine import examine
from tcnfast.genome.genome import Genome

FASTA = b">chr1 words\nACGTNACGTA\nacgtnryswk\nAC\n>chr2\nACGTACGTAC\n"
BED = b"chr1\t5\t9\nchr1\t10\t20\nchr2\t0\t3\n"
PEAK = b"chr1\t1\t9\tp\t1000\t.\t5.1\t-1\t-1\t4\nchr2\t3\t8\tp\t9\t.\t5\t-1\t-1\t-1\n"
TABLE = b"#chrom\tstart\tend\ttf\tcell\nchr1\t1\t9\tCTCF\tK562\nchr1\t3\t5\tMAX\tK562\n"
VCF = (
    b"##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t3\trs\tG\tT,<DEL>\nchr1\t4\t.\tT\tAC\n"
)
MEME = (
    b"MEME version 4\n\nALPHABET= ACGT\n\nMOTIF M1 MAX\n"
    b"letter-probability matrix: alength= 4 w= 2\n0.5 0.5 0.0 0.0\n0.2 0.2 0.2 0.4\n"
)
FOLD = b'{"train": ["chr1:1-10"], "valid": ["chr2"], "test": []}'
ENCODE = (
    "File accession",
    "File format",
    "Output type",
    "File assembly",
    "Experiment accession",
    "Biosample term name",
    "Experiment target",
)
ROW = ("E1", "bed narrowPeak", "IDR thresholded peaks", "GRCh38", "X1", "K562", "CTCF-human")
METADATA = "\n".join("\t".join(x) for x in (ENCODE, ROW, ("E2", *ROW[1:4], "X2", *ROW[5:])))


@pytest.fixture(name="look")
def fixture_look(tmp_path):
    """look(name, bytes, ...) -> findings about a file of these bytes, in a folder of its own."""

    def look(name, data, genome=None, **beside):
        for other, content in beside.items():
            (tmp_path / other.replace("__", ".")).write_bytes(content)
        (tmp_path / name).write_bytes(data)
        before = sorted(path.name for path in tmp_path.iterdir())
        found = examine(tmp_path / name, genome)
        assert sorted(path.name for path in tmp_path.iterdir()) == before  # nothing is written
        return found

    return look


def bgzip(data):
    """A block and the end mark."""
    packed = gzip.compress(data, mtime=0)[10:-8]
    size = (18 + len(packed) + 8 - 1).to_bytes(2, "little")
    head = bytes.fromhex("1f8b08040000000000ff0600424302 00".replace(" ", "")) + size
    end = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
    return head + packed + gzip.compress(data, mtime=0)[-8:] + end


@pytest.mark.parametrize(
    "name, data, kind, words",
    [
        ("g.fa", FASTA, "FASTA, plain", "2 contigs, 32 bases: chr1, chr2"),
        ("g.fa", FASTA, "FASTA, plain", "N 21.9%, lower case 31.2%"),
        ("g.fa.gz", gzip.compress(FASTA, mtime=0), "FASTA, gzip", "2 contigs, 32 bases"),
        ("g.fa.gz", bgzip(FASTA), "FASTA, bgzip", "2 contigs, 32 bases"),
        ("x", FASTA, "FASTA, plain", "no .fai index yet"),
        ("b.bed", BED, "BED", "3 rows on 2 contigs: chr1, chr2"),
        ("b.bed", b"track x\ntrack1\t1\t9\n", "BED", "1 row on 1 contig: track1"),
        ("b.bed.gz", gzip.compress(BED, mtime=0), "BED", "3 to 10 bp, median 4"),
        ("p.narrowPeak", PEAK, "narrowPeak", "1 of them with a summit"),
        ("t.tsv", TABLE, "table of peaks with labels", "2 labels, of 1 (MAX@K562) to 1"),
        ("s.bed", b"chr1\t1\t9\tCTCF\n", "table of peaks, its fourth column the label", "1 label"),
        ("v.vcf", VCF, "VCF", "2 alleles to score: 1 snv, 1 insertion"),
        ("v.tsv", b"chrom\tpos\tref\talt\nchr1\t3\tG\tT\n", "table of variants", "1 allele"),
        ("m.meme", MEME, "MEME motif file", "1 motif of 2 bp: MAX"),
        ("m", MOTIFS[0], "JASPAR motif file", "1 motif of 3 bp: Arnt"),
        ("m", MOTIFS[1], "JASPAR motif file", "1 motif of 3 bp: Arnt"),
        ("m", MOTIFS[2], "TRANSFAC motif file", "MyoD"),
        ("m", MOTIFS[3], "HOMER motif file", "AP-1"),
        ("f.json", FOLD, "split", "train: 1 region: chr1:1-10"),
    ],
)
def test_sound_files(look, name, data, kind, words):
    found = look(name, data)
    assert found.sound and found.kind == kind, found.text()
    assert any(words in fact for fact in found.facts), found.text()


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("g.fa", b">a\nACGT\n>a\nAC\n", ":3: second contig named 'a'"),
        ("g.fa", b">a\nACGE\n", "'E' is no nucleotide"),
        ("g.fa", b">a\n>b\n", "no sequence under its 2 headers"),
        ("g.fa", b">\nACGT\n", "'>' without a contig name"),
        ("g.fa", b">a\rACGT\r", "carriage returns alone"),
        ("g.fa.gz", gzip.compress(FASTA, mtime=0)[:-9], "truncated gzip"),
        ("g.fa.gz", bgzip(FASTA)[:-28], "no bgzip end mark"),
        ("g.2bit", b"CABCABCABC", "is named .2bit but is none"),
        ("r.fq", b"@r\nACGT\n+\nFFFF\n", "looks like FASTQ"),
        ("r.bam", bgzip(b"BAM\1xxxx"), "is BAM"),
        ("v.bcf", bgzip(b"BCF\2\2xxxx"), "bcftools view"),
        ("b.bed", b"chr1\t9\t5\n", ":1: start 9 is not below end 5"),
        ("b.bed", b"chr1\tx\t5\n", ":1: start 'x' is no integer"),
        ("b.bed", b"", "no intervals in the file"),
        ("x", b"", "empty file"),
        ("b.bed", b"# nothing\n", "no intervals in the file"),
        ("p.narrowPeak", PEAK.replace(b"\t4\n", b"\t99\n"), "lies outside the peak"),
        ("t.tsv", TABLE.replace(b"CTCF", b""), "empty label"),
        ("v.vcf", b"##fileformat=VCFv4.3\nchr1\t3\trs\tG\tT\n", "no #CHROM line"),
        ("v.vcf", VCF[: VCF.index(b"chr1")], "holds no variant"),
        ("v.vcf", VCF.replace(b"\tG\t", b"\tR\t").replace(b"\tT\tAC", b"\tE\tAC"), "no allele of"),
        ("m.meme", MEME.replace(b"0.5 0.5", b"0.9 0.5"), ":7: needs probabilities"),
        ("m.jaspar", b">M1 x\nA [ 1 ]\n", "four rows"),
        ("f.json", b'{"train": []}', '"train", "valid" and "test"'),
        ("f.json", FOLD.replace(b"1-10", b"10-1"), "1 <= start <= end"),
        ("f.json", b"{", "not JSON"),
        ("metadata.tsv", b"File accession\tx\nE1\ty\n", "has no column 'File format'"),
        ("x.bw", b"\x26\xfc\x8f\x88" + bytes(90), "damaged bigWig"),
        ("x.bw", b"text", "is named bigWig but is none"),
        ("x.npz", b"PK\3\4" + bytes(50), "npz"),
        ("x.txt", b"hello\nworld\n", "is nothing that tcnfast reads"),
    ],
)
def test_files_that_are_not_sound(look, name, data, words):
    found = look(name, data)
    assert not found.sound and "NOT SOUND" in found.text()
    assert any(words in line for line in found.wrong), found.text()


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("g.fa", FASTA, "letters other than ACGTN, which are read as N: K 1, R 1, S 1, W 1, Y 1"),
        ("g.fa", FASTA.replace(b"\n", b"\r\n"), "tr -d '\\r' < g.fa"),
        ("g.fa", FASTA + b">chr3\n", "1 contig without a base: chr3"),
        ("g.fa", FASTA + b">a,b\nAC\n", "names with commas"),
        ("g.fa", b">chr1\nACGT\nACGTAC\nAC\n", "its lines are not regular"),
        ("g.fa.gz", gzip.compress(FASTA, mtime=0), "faster: tcnfast index g.fa.gz"),
        ("b.bed", BED + BED[:9], "1 row that another row says already"),
        ("b.bed", BED + b"chr1\t30\t40\n", "not sorted"),
        ("p.narrowPeak", PEAK.replace(b"\t4\n", b"\t-1\n"), "no peak has a summit"),
        ("p.narrowPeak", BED, "is called narrowPeak, which has 10 columns, and has"),
        ("v.vcf", VCF, "1 allele not scored, first in line 3: symbolic allele"),
        (
            "m.meme",
            MEME.replace(b"0.5 0.5 0.0 0.0\n0.2 0.2 0.2 0.4", b".25 .25 .25 .25\n" * 2).replace(
                b"\n\n", b"\n"
            ),
            "without a preferred base",
        ),
    ],
)
def test_odd_files_are_sound(look, name, data, words):
    found = look(name, data)
    assert found.sound and any(words in line for line in found.odd), found.text()


def test_the_index_and_the_2bit_beside_a_fasta(look, tmp_path):
    from tcnfast.genome.fasta_index import load_index

    assert look("g.fa", FASTA).sound
    load_index(tmp_path / "g.fa")
    tcnfast.index(str(tmp_path / "g.fa"))
    for path in tmp_path.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    found = examine(tmp_path / "g.fa")
    assert "g.fa.fai fits it" in found.facts and "g.2bit has the same contigs" in found.text()
    assert examine(tmp_path / "g.2bit").facts[:1] == ["2 contigs, 32 bases: chr1, chr2"]
    os.utime(tmp_path / "g.fa", ns=(2 * 10**18, 2 * 10**18))
    odd = " ".join(examine(tmp_path / "g.fa").odd)
    assert "g.fa.fai is older" in odd and "g.2bit is older" in odd
    (tmp_path / "g.fa").write_bytes(b">chr1\nACGT\n")
    os.utime(tmp_path / "g.fa", ns=(10**18, 10**18))
    odd = " ".join(examine(tmp_path / "g.fa").odd)
    assert "g.fa.fai does not fit it" in odd and "g.2bit has other contigs" in odd


def test_a_2bit_is_read_to_its_ends(look, tmp_path):
    look("g.fa", FASTA)
    tcnfast.index(str(tmp_path / "g.fa"))
    data = (tmp_path / "g.2bit").read_bytes()
    assert examine(tmp_path / "g.2bit").facts[-1] == "N 21.9%"
    assert "truncated" in look("g.2bit", data[:-2]).wrong[0]


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("b.bed", BED.replace(b"chr", b""), "is called 'chr1' in the genome"),
        ("b.bed", b"chr1\t5\t90\n", "lies beyond chr1"),
        (
            "p.narrowPeak",
            PEAK.replace(b"chr1", b"chr7").replace(b"chr2", b"chr8"),
            "no contig 'chr7'",
        ),
        ("v.vcf", VCF.replace(b"chr1", b"1"), "is called 'chr1' in the genome"),
        ("f.json", FOLD.replace(b"1-10", b"1-99"), "ends beyond chr1"),
        ("g.fa", b">chr1\nACGT\n", "chr1 has 4 bases, and 22 in the genome"),
    ],
)
def test_files_of_another_genome(look, genome, name, data, words):
    assert look(name, data).sound
    found = look(name, data, genome)
    assert not found.sound and words in found.wrong[0], found.text()
    assert look("ok.bed", BED, genome).sound


@pytest.fixture(name="genome")
def fixture_genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_bytes(FASTA)
    with Genome(path) as opened:
        yield opened


def test_reference_alleles_and_contigs_beside_a_genome(look, genome):
    assert look("v.vcf", VCF, genome).sound
    other = VCF.replace(b"\tG\tT,", b"\tC\tT,")  # chr1:3 is G
    found = look("v.vcf", other, genome)
    assert found.sound and "1 of 2 REF alleles are not in the genome" in found.text()
    found = look("v.vcf", other.replace(b"4\t.\tT\tAC", b"4\t.\tA\tAC"), genome)
    assert "is it of another assembly?" in found.wrong[0]
    found = look("b.bed", BED + b"chr9\t1\t2\n", genome)
    assert found.sound and "dropped 1 of 4 rows" in found.odd[0]


def test_tables_that_name_files(look):
    found = look("metadata.tsv", METADATA.encode(), E1__bed=PEAK)
    assert found.sound and "GRCh38: 1 peak file of 1 label: CTCF@K562" in found.facts
    assert any("1 file of GRCh38 to download" in line for line in found.odd)
    assert (
        "of its 2 rows none can be used"
        in look("metadata.tsv", METADATA.replace("E1\t", "E9\t").encode()).wrong[0]
    )
    manifest = b"label\tpath\nCTCF\ta.bed\nMAX\tE1.bed\n"
    assert look("m.tsv", manifest, a__bed=BED, E1__bed=PEAK).sound
    broken = look("m.tsv", manifest, a__bed=b"chr1\t9\t2\n")
    assert "a.bed:1: start 9 is not below end 2" in broken.wrong[0]
    assert "no file" in look("m.tsv", manifest.replace(b"a.bed", b"b.bed")).wrong[0]


def test_a_bigwig(tmp_path):
    import pyBigWig

    path = tmp_path / "x.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", 5000), ("chr2", 900)])
        file.addEntries("chr1", 10, values=np.linspace(0, 1, 3000), span=1, step=1)
    found = examine(path)
    assert found.sound and "3,000 bases with values, 0 to 1" in found.facts, found.text()
    (tmp_path / "g.fa").write_bytes(b">chr1\n" + b"A" * 6000 + b"\n>chr2\n" + b"C" * 900)
    with Genome(tmp_path / "g.fa") as genome:
        assert "another assembly" in examine(path, genome).wrong[0]
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        assert not examine(path).sound, share
    path.write_bytes(b"\xeb\xf2\x89\x87" + data[4:])
    assert "bigBedToBed" in examine(path).wrong[0]


def test_folders(run, home, tmp_path):
    genome, model = home / "genome.fa", home / "model"
    words = ("-m", model, "-c", "chrM", "--tracks", "REST", "-q", "-o", "scan")
    assert run("scan", genome, *words) == (0, "", "")
    assert run("scan", genome, "--motifs", "jaspar", "-t", "CTCF", "-q", "-o", "hits")[0] == 0
    code, out, err = run("doctor", model, "scan", "hits", "encode-v1", "-g", genome)
    assert (code, err) == (1, "") and "encode-v1: no such file" in out
    code, out, err = run("doctor", model, "scan", "hits", "--json")
    made = json.loads(out)
    assert code == 0 and [x["kind"] for x in made] == ["model folder", "scan", "scan for motifs"]
    assert all(x["sound"] for x in made) and "3 labels" in made[0]["facts"][0]
    assert any("not measured" in line for line in made[0]["odd"])
    (tmp_path / "scan" / "tracks" / "REST.bw").write_bytes(b"")
    assert "REST.bw: is named bigWig but is none" in run("doctor", "scan")[1]
    for path in (tmp_path / "scan" / "peaks").iterdir():
        path.write_text("chrM\t1\t9\tx\t1\t.\t.5\t-1\t-1\t2\n" * 99)
    (tmp_path / "scan" / "tracks" / "REST.bw").unlink()
    assert not examine("scan").sound
    os.rename("hits", "hits.partial")
    assert "--resume goes on with it" in run("doctor", "hits.partial")[1]
    assert "no folder that tcnfast writes" in run("doctor", ".")[1]
    weights = tmp_path / "broken" / "model.safetensors"
    weights.parent.mkdir()
    for path in model.iterdir():
        (weights.parent / path.name).write_bytes(path.read_bytes())
    weights.write_bytes(weights.read_bytes()[:-8])
    assert "no safetensors file" in run("doctor", "broken")[1]


def test_a_data_set(run, lesson_data):
    code, out, err = run("doctor", lesson_data)
    assert (code, err) == (0, "") and "data set of tcnfast prepare: sound" in out
    with open(lesson_data / "peaks.start.npy", "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\3\4")
    assert "peaks.start.npy: is not what was written" in run("doctor", lesson_data)[1]


@pytest.fixture(name="lesson_data")
def fixture_lesson_data(tmp_path):
    (tmp_path / "g.fa").write_bytes(b">chr1\n" + b"ACGT" * 500 + b"\n>chr2\n" + b"ACGT" * 300)
    (tmp_path / "p.bed").write_bytes(TABLE)
    split = {"train": ["chr1:1-1000"], "valid": ["chr1:1001-2000"], "test": ["chr2"]}
    (tmp_path / "s.json").write_text(json.dumps(split))
    tcnfast.prepare(
        tmp_path / "g.fa",
        tmp_path / "data",
        peaks=[str(tmp_path / "p.bed")],
        split=str(tmp_path / "s.json"),
    )
    return tmp_path / "data"


def test_whatever_is_in_a_file_is_told(tmp_path):
    """Files of every parser, broken: findings, and never an exception."""
    rng = random.Random(4)
    for parser in parsers().values():
        for seed in parser.seeds:
            path, data = place(seed, tmp_path), next(iter(seed.values()))
            for number in range(6):
                path.write_bytes(data if not number else mutated(data, rng))
                found = examine(path)
                text = found.text()
                assert found.sound == ("NOT SOUND" not in text.splitlines()[0])
                assert all(line.isprintable() for line in text.splitlines()), text
