"""``tcnfast scan`` where something is already: existing outputs, force, interrupts and
resume."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.scan import (
    FP32,
    SCANNED,
    TRACKS,
    calling_model,
    files_in,
    partial,
    random_letters,
    run_record_of,
    small_genome,
    write_fasta,
)

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.scan import announce, narrowpeak, scan_genome

pytestmark = pytest.mark.usefixtures("small_segments")

# an existing output


def test_an_existing_output_is_an_error(fasta, model, out):
    tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)
    before = files_in(out, but=())
    with pytest.raises(TcnfastError, match="exists; choose another out, or force=True"):
        tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)
    assert files_in(out, but=()) == before and not partial(out).exists()


def test_an_existing_output_is_refused_before_anything_is_read(fasta, model, out):
    tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)
    for options in ({}, {"motifs": "no.meme"}):
        with pytest.raises(TcnfastError, match="exists; choose another out"):
            tcnfast.scan("no.fa", None if options else "no model", out, **options)


def test_force_replaces_an_output_of_ours(fasta, model, out):
    tcnfast.scan(fasta, model, out, chroms="chrM", tracks="all", **FP32)
    tcnfast.scan(fasta, model, out, chroms="chr1_alt", targets="REST", force=True, **FP32)
    calls = [name for name in files_in(out) if name.startswith(("peaks/", "tracks/"))]
    assert calls == ["peaks/REST.narrowPeak"]
    assert run_record_of(out)["key"]["chroms"] == ["chr1_alt"]
    assert not partial(out).exists()


def test_force_keeps_the_old_output_until_the_new_one_is_whole(fasta, model, out, interrupt):
    tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)
    before = files_in(out, but=())
    interrupt(1)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, force=True, **FP32)
    assert files_in(out, but=()) == before


@pytest.mark.parametrize("options", [{}, {"force": True}, {"resume": True}])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_not_ours_is_never_replaced(fasta, model, out, what, options):
    if what == "folder":
        out.mkdir()
        (out / "thesis.tex").write_text("years")
    else:
        out.write_text("years")
    with pytest.raises(TcnfastError, match="exists and is no output of tcnfast"):
        tcnfast.scan(fasta, model, out, chroms="chrM", **FP32, **options)
    assert (out / "thesis.tex" if what == "folder" else out).read_text() == "years"


def test_force_does_not_delete_a_partial_folder_that_is_not_ours(fasta, model, out):
    partial(out).mkdir()
    (partial(out) / "thesis.tex").write_text("years")
    with pytest.raises(TcnfastError, match="scan.partial"):
        tcnfast.scan(fasta, model, out, chroms="chrM", force=True, **FP32)
    assert (partial(out) / "thesis.tex").read_text() == "years"


def test_force_does_not_replace_what_another_command_made(fasta, model, out):
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"key": {"command": "train"}}))
    with pytest.raises(TcnfastError, match="no output of tcnfast scan"):
        tcnfast.scan(fasta, model, out, chroms="chrM", force=True, **FP32)
    assert (out / "run.json").exists()


def test_an_empty_folder_may_become_the_output(fasta, model, out):
    out.mkdir()
    tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)
    assert (out / "run.json").exists()


def test_parents_of_the_output_are_made(fasta, model, tmp_path):
    tcnfast.scan(fasta, model, tmp_path / "a" / "b", chroms="chrM", **FP32)
    assert (tmp_path / "a" / "b" / "run.json").exists()


def test_the_working_folder_cannot_be_the_output(fasta, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("mine")
    for out in (".", ".."):
        with pytest.raises(TcnfastError, match="output"):
            tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)


# stopped, and resumed


# where segments and stretches begin: two stretches a contig, of 2,048 steps at most
SEGMENTS = [("chr20", x) for x in (0, 1024, 2048, 3072)]
SEGMENTS += [("chr21", x) for x in (0, 1024, 2048)]


@pytest.mark.parametrize("segments, finished", [(2, 2), (3, 2), (4, 4), (6, 6)])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_resumed_scan_ends_with_the_same_bytes(
    scanned, fasta, model, out, scored, interrupt, segments, finished, error
):
    """``finished`` of the segments that were scored belong to whole stretches."""
    options = dict(tracks=TRACKS, **FP32)
    interrupt(segments, error)
    with pytest.raises(error):
        tcnfast.scan(fasta, model, out, **options)
    assert not out.exists() and partial(out).exists()
    scored.clear()
    interrupt(10**6)
    result = tcnfast.scan(fasta, model, out, resume=True, **options)
    assert scored == SEGMENTS[finished:]
    assert files_in(out) == files_in(scanned.path) and result.summary.equals(scanned.summary)
    assert not partial(out).exists()


@pytest.mark.parametrize(
    "module, step, left",
    [
        (narrowpeak, "narrowpeak_lines", SEGMENTS[4:]),
        (scan_genome, "write_bigwigs", []),
        (scan_genome, "write_rows", []),
    ],
)
def test_a_scan_stopped_while_files_are_made_is_resumed_without_scoring(
    scanned, fasta, model, out, monkeypatch, scored, interrupt, module, step, left
):
    """Calls of a contig are written when it is whole, and the rest when all are."""

    def stop(*_):
        raise KeyboardInterrupt

    interrupt(10**6)
    with monkeypatch.context() as patch:
        patch.setattr(module, step, stop)
        with pytest.raises(KeyboardInterrupt):
            tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)
    assert not out.exists()
    scored.clear()
    tcnfast.scan(fasta, model, out, tracks=TRACKS, resume=True, **FP32)
    assert scored == left and files_in(out) == files_in(scanned.path)


def test_a_damaged_half_written_shard_is_not_trusted(
    scanned, fasta, model, out, monkeypatch, interrupt
):
    """A kill while a shard is written leaves its temporary file, never half of the shard."""

    def half(file, _):
        file.write(b"\x93NUMPY half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        save, saved = np.save, []

        def second_is_half(file, array):
            saved.append(file)
            (save if len(saved) == 1 else half)(file, array)

        patch.setattr(np, "save", second_is_half)
        with pytest.raises(KeyboardInterrupt):
            tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)
    assert len(list(partial(out).glob("calls.*.npy"))) == 1
    tcnfast.scan(fasta, model, out, tracks=TRACKS, resume=True, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_stopped_before_a_stretch_is_finished_nothing_is_left(fasta, model, out, interrupt):
    interrupt(1)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, tracks="all", **FP32)
    assert not out.exists() and not partial(out).exists()


def test_stopped_while_the_speed_is_measured_nothing_is_left(fasta, model, out, monkeypatch):
    def stop(pipeline):
        raise KeyboardInterrupt

    monkeypatch.setattr(announce, "probe_speed", stop)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, **FP32)
    assert not out.exists() and not partial(out).exists()


@pytest.fixture
def stopped(fasta, model, out, interrupt):
    """A scan with one of two contigs finished."""
    interrupt(4)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, **FP32)
    interrupt(10**6)
    return out


def test_what_is_left_is_named_with_the_mend(fasta, model, out, caplog, interrupt):
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        tcnfast.scan(fasta, model, out, **FP32)
    assert f"what is finished is kept in {partial(out)}; go on with resume=True" in caplog.text


def test_a_leftover_without_resume_is_an_error(fasta, model, stopped):
    with pytest.raises(TcnfastError, match="was left by an unfinished run; give resume=True"):
        tcnfast.scan(fasta, model, stopped, **FP32)
    assert partial(stopped).exists() and not stopped.exists()


@pytest.mark.parametrize(
    "options",
    [
        dict(stride=64),
        dict(strand="max"),
        dict(targets="REST"),
        dict(tracks="REST"),
        dict(track_floor=0.1),
        dict(chroms="all"),
        dict(min_length=32),
        dict(max_gap=0),
        dict(precision="fp64"),
    ],
    ids=lambda options: next(iter(options)),
)
def test_resume_with_other_settings_is_an_error(fasta, model, stopped, options):
    before = files_in(partial(stopped), but=())
    with pytest.raises(TcnfastError, match="was left by a run with other inputs or settings"):
        tcnfast.scan(fasta, model, stopped, resume=True, **{**FP32, **options})
    assert files_in(partial(stopped), but=()) == before and not stopped.exists()


def test_resume_with_another_genome_is_an_error(fasta, model, stopped):
    letters = small_genome()
    letters["chr21"][5] = ord("A") if letters["chr21"][5] != ord("A") else ord("C")
    data, stat = fasta.read_bytes(), fasta.stat()
    try:
        write_fasta(fasta, letters)
        os.utime(fasta, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # only the bytes tell
        with pytest.raises(TcnfastError, match="other inputs or settings"):
            tcnfast.scan(fasta, model, stopped, resume=True, **FP32)
    finally:
        fasta.write_bytes(data)


def test_resume_with_another_model_or_bed_is_an_error(fasta, model, stopped, tmp_path):
    other = tmp_path / "other"
    calling_model(channels=6).save(other)
    bed = tmp_path / "x.bed"
    bed.write_text("chr20\t1\t2000\n")
    for model_, within in ((other, None), (model, bed)):
        with pytest.raises(TcnfastError, match="other inputs or settings"):
            tcnfast.scan(fasta, model_, stopped, within=within, resume=True, **FP32)


def test_force_begins_anew(fasta, model, stopped, scored):
    tcnfast.scan(fasta, model, stopped, force=True, **FP32)
    assert scored == SEGMENTS
    assert (stopped / "run.json").exists() and not partial(stopped).exists()


def test_resume_of_nothing_begins(fasta, model, out):
    tcnfast.scan(fasta, model, out, chroms="chrM", resume=True, **FP32)
    assert (out / "run.json").exists()


def test_resume_of_a_finished_scan_gives_its_summary(fasta, model, out, scored):
    first = tcnfast.scan(fasta, model, out, chroms="chrM", **FP32)
    before = files_in(out, but=())
    scored.clear()
    again = tcnfast.scan(fasta, model, out, chroms="chrM", resume=True, **FP32)
    assert again.summary.equals(first.summary) and scored == [] and files_in(out, but=()) == before
    with pytest.raises(TcnfastError, match="is the result of another run"):
        tcnfast.scan(fasta, model, out, chroms="chr20", resume=True, **FP32)


def test_the_key_of_an_unfinished_scan_is_json(stopped):
    key = json.loads((partial(stopped) / "key.json").read_text())
    assert key["chroms"] == SCANNED


# interrupted through the command line


def test_a_leftover_whose_inputs_were_not_known_yet_is_begun_anew(
    scanned, fasta, model, stopped, scored
):
    """The genome is hashed while it is scanned: what was kept before that belongs to nothing."""
    (partial(stopped) / "key.json").write_text('{"command": "scan"}')
    with pytest.raises(TcnfastError, match="was left by an unfinished run; give resume=True"):
        tcnfast.scan(fasta, model, stopped, **FP32)
    scored.clear()
    tcnfast.scan(fasta, model, stopped, tracks=TRACKS, resume=True, **FP32)
    assert scored == SEGMENTS and files_in(stopped) == files_in(scanned.path)


@pytest.mark.parametrize("segments", [0, 1, 3])
def test_an_interrupt_exits_with_130_and_leaves_no_half_output(
    fasta, model, out, cli, interrupt, segments
):
    interrupt(segments)
    code, lines = cli(fasta, "-m", model, "-o", out)
    assert code == 130 and lines[-1] == "tcnfast: interrupted"
    assert not out.exists() and partial(out).exists() == (segments >= 2)


@pytest.mark.parametrize(
    "number, code, last",
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_real_interrupt(model, tmp_path, out, number, code, last):
    """A signal to a process in the middle of a stretch that takes longer than anyone waits."""
    path = write_fasta(tmp_path / "long.fa", {"chr1": random_letters(10_000_000)}, 10_000_000)
    words = ["scan", path, "-m", model, "-o", out, "--stride", "1", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tcnfast.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "1 contig" in line:
                break
        time.sleep(0.3)
        assert partial(out).exists()
        process.send_signal(number)
        stdout, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, "".join(lines) + rest
    said = [
        "tcnfast: scan: stopped before anything was finished: nothing is left of it",
        f"tcnfast: {last}",
    ]
    assert rest.splitlines()[-2:] == said and "Traceback" not in rest
    assert stdout == "" and not out.exists() and not partial(out).exists()
