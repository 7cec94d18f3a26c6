"""``tcnfast scan --shard`` and ``tcnfast merge``: the bytes of one process, or one clear line."""

import json
import shutil

import pytest
from support.scan import FP32, TRACKS, files_in, partial, run_record_of, small_genome, write_fasta

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.cli import main
from tcnfast.scan.scan_folder import ScanFolder
from tcnfast.scan.zarr_tracks import ZarrTracks

pytestmark = pytest.mark.usefixtures("small_segments")

MOTIFS = """MEME version 4

ALPHABET= ACGT

MOTIF M1 one
letter-probability matrix: alength= 4 w= 8
 0.9 0.03 0.03 0.04
 0.03 0.9 0.03 0.04
 0.03 0.03 0.9 0.04
 0.9 0.03 0.03 0.04
 0.03 0.9 0.03 0.04
 0.03 0.03 0.9 0.04
 0.9 0.03 0.03 0.04
 0.03 0.9 0.03 0.04
"""


def shard(fasta, model, folder, number, of, **options):
    out = folder / f"{number}-of-{of}"
    return tcnfast.scan(fasta, model, out, shard=(number, of), **options)


@pytest.fixture(name="three", scope="module")
def fixture_three(small_segments, fasta, model, tmp_path_factory):
    """Folders of three shards of the scan ``scanned``."""
    folder = tmp_path_factory.mktemp("shards")
    return [shard(fasta, model, folder, i, 3, tracks=TRACKS, **FP32).path for i in (1, 2, 3)]


def same_but_for_times(out, other):
    ours, theirs = run_record_of(out), run_record_of(other)
    for record in (ours, theirs):
        for name in ("seconds", "stages", "threads"):
            record.pop(name, None)  # a scan for motifs names no threads
    return files_in(out) == files_in(other) and ours == theirs


def test_merged_shards_are_the_scan_of_one_process(scanned, three, out):
    """In any order."""
    merged = tcnfast.merge(three[::-1], out=out)
    assert same_but_for_times(out, scanned.path) and merged.summary.equals(scanned.summary)
    parts = [len(list(path.glob("calls.*.npy"))) for path in three]
    assert parts == [2, 1, 1]  # they stay


@pytest.mark.parametrize("of", [1, 2, 6])
def test_any_number_of_shards(scanned, fasta, model, out, tmp_path, of):
    """More than there are stretches, too."""
    parts = [
        shard(fasta, model, tmp_path, i, of, tracks=TRACKS, **FP32).path for i in range(1, of + 1)
    ]
    tcnfast.merge(parts, out=out)
    assert same_but_for_times(out, scanned.path)


def test_dense_tracks_in_shards(fasta, model, out, tmp_path, monkeypatch):
    monkeypatch.setattr(ZarrTracks, "CHUNK_STEPS", 1024)
    options = dict(tracks=TRACKS, track_format="zarr", **FP32)
    whole = tcnfast.scan(fasta, model, tmp_path / "whole", **options)
    parts = [shard(fasta, model, tmp_path, i, 2, **options).path for i in (1, 2)]
    tcnfast.merge(parts, out=out)
    assert same_but_for_times(out, whole.path)
    assert sum("/c/" in name for name in files_in(out)) >= 4


def test_hits_of_motifs_in_shards(fasta, out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.meme").write_text(MOTIFS)
    whole = tcnfast.scan(fasta, out="whole", motifs="m.meme")
    parts = [shard(fasta, None, tmp_path, i, 2, motifs="m.meme").path for i in (1, 2)]
    monkeypatch.chdir("/")
    merged = tcnfast.merge(parts, out=out)
    assert same_but_for_times(out, tmp_path / "whole") and len(merged.hits("M1")) > 10
    assert len(whole.labels) == 1


def test_a_stopped_shard_is_resumed(scanned, fasta, model, three, out, tmp_path, interrupt):
    """Also where it was stopped while it was put in its place."""
    path = tmp_path / "1-of-3"
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        shard(fasta, model, tmp_path, 1, 3, tracks=TRACKS, **FP32)
    interrupt(10**6)
    left = partial(path)
    name = next(left.glob("calls.*.npy")).name
    (left / "result").mkdir(exist_ok=True)
    (left / name).rename(left / "result" / name)
    again = shard(fasta, model, tmp_path, 1, 3, tracks=TRACKS, resume=True, **FP32)
    assert files_in(again.path) == files_in(three[0])
    tcnfast.merge([again.path, *three[1:]], out=out)
    assert same_but_for_times(out, scanned.path)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("how", [{}, {"force": True}, {"resume": True}])
def test_another_shard_in_the_same_folder_is_not_lost(
    fasta, model, tmp_path, interrupt, finished, how
):
    """``--force`` deleted it, and said nothing."""
    out = tmp_path / "shards"
    if finished:
        tcnfast.scan(fasta, model, out, shard=(1, 3), **FP32)
    else:
        interrupt(2)
        with pytest.raises(KeyboardInterrupt):
            tcnfast.scan(fasta, model, out, shard=(1, 3), **FP32)
        interrupt(10**6)
    before = files_in(tmp_path, but=())
    words = "shards: holds shard 1/3, which would be lost; give each shard a folder of its own by "
    with pytest.raises(TcnfastError, match=words):
        tcnfast.scan(fasta, model, out, shard=(2, 3), **how, **FP32)
    assert files_in(tmp_path, but=()) == before
    again = tcnfast.scan(fasta, model, out, shard=(1, 3), force=True, **FP32)
    assert again.number == 1


def test_moved_files_are_named(scanned, three, fasta, model, tmp_path, out):
    """A merge takes them where they are now, and no others."""
    moved = tmp_path / "genome.fa"
    shutil.copy(fasta, moved)
    parts = [tmp_path / path.name for path in three]
    for old, new in zip(three, parts, strict=True):
        shutil.copytree(old, new)
        record = run_record_of(new)
        record["asked"] |= {"genome": ["/gone/genome.fa"], "model": None}
        (new / "run.json").write_text(json.dumps(record))
    with pytest.raises(TcnfastError, match="^/gone/genome.fa: is not here; name .* by genome$"):
        tcnfast.merge(parts, out=out)
    with pytest.raises(TcnfastError, match="name its folder by model$"):
        tcnfast.merge(parts, moved, out=out)
    letters = small_genome()
    letters["chr21"][7] = ord("A") if letters["chr21"][7] != ord("A") else ord("C")
    (tmp_path / "other").mkdir()
    other = write_fasta(tmp_path / "other" / "genome.fa", letters)
    with pytest.raises(TcnfastError, match="cannot be finished with what is here now: genome diff"):
        tcnfast.merge(parts, other, model, out)
    assert not out.exists() and not partial(out).exists()
    tcnfast.merge(parts, moved, model, out)
    assert files_in(out) == files_in(scanned.path)


# sets that are no scan


def refused(paths, words, out):
    with pytest.raises(TcnfastError, match=words) as caught:
        tcnfast.merge(paths, out=out)
    assert "\n" not in str(caught.value)
    assert not out.exists() and not partial(out).exists()


def test_a_missing_shard(three, out):
    refused(three[:1] + three[2:], r"of 3 shards there is no 2; shard='2/3' makes it", out)
    refused([], "no shard to merge", out)


def test_a_shard_twice(three, out, tmp_path):
    other = shutil.copytree(three[1], tmp_path / "again")
    refused([*three, other], "again: is shard 2/3, as .*2-of-3 is; give one", out)
    refused([*three, three[0]], "is shard 1/3, as .*1-of-3 is", out)


def test_a_shard_of_another_scan(fasta, model, three, out, tmp_path):
    other = shard(fasta, model, tmp_path, 2, 3, tracks=TRACKS, min_length=32, **FP32).path
    words = "2-of-3: is a shard of another scan than .*1-of-3: min_length differs"
    refused([three[0], other, three[2]], words, out)
    half = shard(fasta, model, tmp_path, 1, 2, tracks=TRACKS, **FP32).path
    refused([*three, half], "1-of-2: is shard 1/2, but .*1-of-3 is shard 1/3", out)


def test_what_is_no_shard(scanned, three, out, tmp_path):
    refused([*three[:2], scanned.path], r"is no output of tcnfast scan --shard \(it is one of", out)
    refused([tmp_path / "no"], "no such folder", out)
    with pytest.raises(TcnfastError, match="no output of tcnfast scan .it is one of .* --shard"):
        ScanFolder(three[0])


def test_a_damaged_shard(three, out, tmp_path):
    broken = shutil.copytree(three[1], tmp_path / "broken")
    next(broken.glob("calls.*.npy")).unlink()
    words = "broken: is damaged, chr20, steps 2,048 to 3,125 is missing; run it anew"
    refused([three[0], broken, three[2]], words, out)


def test_the_command_line(scanned, fasta, model, tmp_path, capfd):
    words = ["-m", str(model), "--precision", "fp32", "--device", "cpu", "-q"]
    words += ["--tracks", ",".join(TRACKS)]
    for i in "12":
        part = tmp_path / i
        assert main(["scan", str(fasta), "-o", str(part), "--shard", f"{i}/2", *words]) == 0
    assert main(["merge", str(tmp_path / "1"), "-o", str(tmp_path / "no"), "-q"]) == 1
    assert "of 2 shards there is no 2; --shard 2/2 makes it" in capfd.readouterr().err
    parts = [str(tmp_path / "1"), str(tmp_path / "2")]
    assert main(["merge", *parts, "-o", str(tmp_path / "whole"), "-q"]) == 0
    assert files_in(tmp_path / "whole") == files_in(scanned.path)
    for wrong in ("3/2", "0/2", "half", "1"):
        with pytest.raises(SystemExit) as stop:
            main(["scan", str(fasta), "--shard", wrong])
        assert stop.value.code == 2 and "the i-th of n shards" in capfd.readouterr().err
