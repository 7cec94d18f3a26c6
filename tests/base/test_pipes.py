"""What a command reads of a pipe is what it hashes: <(...) and /dev/stdin are inputs too."""

import hashlib
import json
import os
import socket
import threading

import pytest
from support.cli import QUICK, data_words, fails, scan_words
from support.scan import files_in

from tcnfast.base.input_files import kept_pipes, open_input
from tcnfast.base.run_folder import file_hash

BED = b"chr20\t50000\t60000\nchr20\t80000\t90000\n"
MEME = b"MEME version 4\n\nMOTIF X\nletter-probability matrix: alength= 4 w= 8\n" + (
    b"0.9 0.1 0 0\n0 1 0 0\n0 0 1 0\n0 0 0.2 0.8\n" * 2
)
OTHER = b"chr21\t10000\t12000\n"
VCF = b"##fileformat=VCFv4.2\n##contig=<ID=chr20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture(name="pipe")
def fixture_pipe():
    """pipe(data): the path of a pipe that holds data, as a shell writes <(cat file)."""
    opened = []

    def make(data):
        out, into = os.pipe()
        opened.append(out)

        def feed():
            with open(into, "wb") as file:
                file.write(data)

        threading.Thread(target=feed, daemon=True).start()
        return f"/dev/fd/{out}"

    yield make
    for out in opened:
        os.close(out)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def key_of(folder):
    return json.loads((folder / "run.json").read_text())["key"]


def vcf_of(home):
    from tcnfast.genome.genome import Genome

    rows = []
    with Genome(home / "genome.fa") as genome:
        for pos in range(50_000, 50_400, 20):
            ref = "ACGTN"[genome.codes("chr20", pos, pos + 1)[0]]
            rows.append(f"chr20\t{pos + 1}\t.\t{ref}\t{'ACGT'['ACGT'.index(ref) - 1]}\t.\t.\t.\n")
    return VCF + "".join(rows).encode()


def test_a_pipe_is_read_once_and_kept_for_the_run(pipe, tmp_path):
    data = os.urandom(300_000)  # more than a pipe holds
    path = pipe(data)
    with kept_pipes():
        with open_input(path) as file:
            assert file.read(5) == data[:5] and file.peek(1)[:1] == data[5:6]
            assert file_hash(path) == digest(data)
            assert file.read() == data[5:] and file.seek(7) == 7 and file.read(3) == data[7:10]
        with kept_pipes(), open_input(path) as file:  # a verb that calls another
            assert file.read() == data
    with kept_pipes():
        assert file_hash(path) == digest(b"")  # nothing of one run is left for the next


def test_what_is_neither_file_nor_pipe_is_refused(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        for wrong in (path, "/dev/zero"):
            with pytest.raises(ValueError, match=f"^{wrong}: is no file"), open_input(wrong):
                pass


def test_regions_of_another_pipe_are_other_regions(run, home, pipe, tmp_path):
    """Of a pipe that was read, only the empty end was hashed: every region file looked the same."""
    words = ["attribute", "-g", home / "genome.fa", "-m", home / "model", "-t", "REST", "-q"]
    words += ["--top", 1, "-o", "out"]
    assert run(*words, "-b", pipe(BED))[0] == 0
    assert key_of(tmp_path / "out")["regions"] == digest(BED)
    fails(run(*words, "-b", pipe(OTHER), "--resume"), "is the result of another run")
    assert run(*words, "-b", pipe(BED), "--resume")[0] == 0


def test_scan_within_a_pipe(run, home, pipe, tmp_path):
    (tmp_path / "r.bed").write_bytes(BED)
    assert run(*scan_words(home, "a", "-q", "--within", "r.bed"))[0] == 0
    assert run(*scan_words(home, "b", "-q", "--within", pipe(BED)))[0] == 0
    assert key_of(tmp_path / "b") == key_of(tmp_path / "a")
    assert files_in(tmp_path / "b") == files_in(tmp_path / "a")


def test_motifs_of_a_pipe(run, home, pipe, tmp_path):
    (tmp_path / "m.meme").write_bytes(MEME)
    words = ["scan", home / "genome.fa", "-q", "-c", "chrM", "--motifs"]
    assert run(*words, "m.meme", "-o", "a")[0] == 0
    assert run(*words, pipe(MEME), "-o", "b")[0] == 0
    assert [x for _, x in key_of(tmp_path / "b")["inputs"]] == [
        x for _, x in key_of(tmp_path / "a")["inputs"]
    ]
    assert files_in(tmp_path / "b") == files_in(tmp_path / "a")


def test_a_pipe_of_the_same_words_has_the_same_name(run, home, lesson, pipe, tmp_path):
    """A shell gives the same <(...) another number in every run: its path tells nothing."""
    vcf, peaks = vcf_of(home), (lesson / "peaks.bed").read_bytes()
    model = ["-g", home / "genome.fa", "-m", home / "model", "-q"]
    train = ["train", "-g", lesson / "g.fa", "--split", lesson / "split.json", *QUICK, "-q"]
    commands = {
        "motifs": (["scan", home / "genome.fa", "-c", "chrM", "-q", "--motifs"], [], MEME),
        "variants": (["variants"], model, vcf),
        "train": ([*train, "--peaks"], [], peaks),
    }
    for name, (before, after, data) in commands.items():
        for more in ([], ["--resume"]):
            assert run(*before, pipe(data), *after, "-o", name, *more)[0] == 0
    assert key_of(tmp_path / "motifs")["inputs"][-1] == ["pipe", digest(MEME)]
    words = data_words(lesson, peaks=pipe(peaks), split=pipe((lesson / "split.json").read_bytes()))
    assert run("prepare", *words, "-o", "prepared", "-q")[0] == 0
    about = json.loads((tmp_path / "prepared" / "dataset.json").read_text())
    names = {x["role"]: x["name"] for x in about["inputs"]}
    assert names["peaks"] == names["split"] == about["split_source"] == "pipe"


def test_variants_of_a_pipe(run, home, pipe, tmp_path):
    vcf = vcf_of(home)
    (tmp_path / "v.vcf").write_bytes(vcf)
    words = ["-g", home / "genome.fa", "-m", home / "model", "-q", "--format", "vcf"]
    assert run("variants", "v.vcf", *words, "-o", "a")[0] == 0
    assert run("variants", pipe(vcf), *words, "-o", "b")[0] == 0
    assert key_of(tmp_path / "b")["variants"][1] == digest(vcf)
    assert files_in(tmp_path / "b") == files_in(tmp_path / "a")


@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_peaks_and_split_of_pipes(run, lesson, pipe, tmp_path, verb):
    peaks, split = ((lesson / name).read_bytes() for name in ("peaks.bed", "split.json"))
    words = data_words(lesson, peaks=pipe(peaks), split=pipe(split))
    more = QUICK if verb == "train" else []
    assert run(verb, *words, *more, "-o", "out", "-q")[0] == 0
    record = "run.json" if verb == "train" else "dataset.json"
    text = (tmp_path / "out" / record).read_text()
    assert digest(peaks) in text and digest(b"") not in text
    assert digest(split) in text


def test_a_manifest_that_names_a_pipe(run, lesson, tmp_path, pipe):
    (tmp_path / "m.tsv").write_text("label\tpath\nCTCF\tfifo\n")
    os.mkfifo(tmp_path / "fifo")
    words = ["prepare", "-g", lesson / "g.fa", "--split", lesson / "split.json", "-o", "out", "-q"]
    fails(run(*words, "--manifest", "m.tsv"), "m.tsv:2: no file")


def test_a_genome_must_be_a_file(run, home, pipe, tmp_path):
    fails(run("scan", pipe(b">chr1\nACGT\n"), "-m", home / "model"), "save the sequence to disk")


@pytest.mark.parametrize("what", ["--motifs", "--within", "-b"])
def test_a_shard_of_a_pipe_is_refused(run, home, pipe, tmp_path, what):
    """tcnfast merge would have found nothing to read: the pipe was gone."""
    words = ["scan", home / "genome.fa", "-q", "-c", "chrM"]
    if what == "-b":
        words = ["attribute", "-g", home / "genome.fa", "-q"]
    if what != "--motifs":
        words += ["-m", home / "model"]
    path = pipe(MEME if what == "--motifs" else BED)
    said = fails(run(*words, what, path, "--shard", "1/2", "-o", "out"), "with --shard it is")
    assert f"{path}: is a pipe" in said and not (tmp_path / "out").exists()
