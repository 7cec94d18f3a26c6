"""What comes back of a device of its own: what calling makes of it is what it makes of all logits.

A GPU does the same operations on three streams; here they run on the processor, one after the
other. tests/test_triton_scan.py is for a GPU.
"""

import logging

import numpy as np
import pytest
import torch
from support.engine import needs_engine
from support.models import random_model
from support.scan import FP32, TRACKS, files_in, partial
from support.scanner import Contigs, contig, scan_contig
from support.triton import needs_triton

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.engines import triton_engine
from tcnfast.engines.hit_finder import HitFinder
from tcnfast.scan import device_scores, pipeline
from tcnfast.scan.compact import CompactDevice, Lane
from tcnfast.scan.pieces import Batch, Stretch, Wanted, Window
from tcnfast.scan.pipeline import Pipeline, Scorer
from tcnfast.scan.stages import Stages
from tcnfast.scan.track_bigwig import NOTHING
from tcnfast.scan.track_shards import BEGINS

pytestmark = pytest.mark.usefixtures("small_segments")

CODES = contig(9_000, gaps=[(200, 1300), (8_500, 9_000)])


@pytest.fixture(autouse=True)
def compacts(monkeypatch):
    """The processor counts as a device of its own."""
    monkeypatch.setattr(pipeline, "compacts", lambda plan: True)


@pytest.fixture
def scorer(make_model):
    return Scorer(make_model(), stride=8, **FP32)


def hits_of(scorer, wanted, batch_size=1, segment_bases=1024, codes=CODES):
    options = dict(batch_size=batch_size, segment_bases=segment_bases)
    pipeline = Pipeline(scorer, Contigs(chr=codes), wanted, **options)
    assert isinstance(pipeline.device, CompactDevice)
    steps = -(-len(codes) // 8)
    works = pipeline.groups(Stretch(0, "chr", 0, steps, steps))
    return [hits for _, result in pipeline.scored(works) for hits in result()], pipeline


def wanted_of(cutoffs=(0.3, np.nan, -0.5), columns=(0, 2), floors=(-np.inf, 0.2), levels=True):
    return Wanted(np.float32(cutoffs), np.array(columns), np.float32(floors), levels)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("levels", [True, False])
def test_hits_and_tracks_are_those_of_the_dense_logits(scorer, batch_size, levels):
    wanted = wanted_of(levels=levels)
    dense = list(scan_contig(scorer, Contigs(chr=CODES), "chr", segment_bases=1024))
    found, _ = hits_of(scorer, wanted, batch_size)
    assert [x.first_step for x in found] == [x.first_step for x in dense]
    assert sum(len(x.at) for x in found) > 100
    for hits, segment in zip(found, dense, strict=True):
        logits = segment.logits
        with np.errstate(invalid="ignore"):
            at = np.flatnonzero(logits >= wanted.cutoffs)
            kept = logits[:, wanted.columns] >= wanted.floors
        np.testing.assert_array_equal(hits.at, at)
        np.testing.assert_array_equal(hits.values, logits.ravel()[at])
        assert (hits.at.dtype, hits.values.dtype) == (np.int64, np.float32)
        tracked = logits[:, wanted.columns]
        if levels:
            want = np.where(kept, np.searchsorted(BEGINS[:-1], tracked, side="right"), NOTHING)
            np.testing.assert_array_equal(hits.levels, want)
            assert hits.levels.dtype == np.uint8 and hits.logits is None
        else:
            np.testing.assert_array_equal(hits.logits, tracked)
            assert hits.levels is None


class Given:
    """A scorer whose scores are given."""

    def __init__(self, plan, logits):
        self.plan, self.plans, self.logits = plan, [plan], logits

    def scores(self, codes):
        return self.logits.clone()


def device_of(scorer, **options):
    return CompactDevice(scorer, wanted_of(), Window(8, 61, 200), Stages(), **options)


def batch_of(device, steps=100):
    codes, unknown, slot = device.buffers(1, 61 + 8 * (steps - 1), steps)
    codes[:], unknown[:] = 1, False
    return Batch([0], codes, unknown, slot)


def test_levels_are_exact_at_their_edges(scorer):
    """On the device they are found by a search, on the host in cells."""
    edges = BEGINS[:-1]
    near = [np.nextafter(edges, np.float32(-99)), edges, np.nextafter(edges, np.float32(99))]
    near = np.concatenate([*near, np.float32([-np.inf, np.inf, np.nan])])
    logits = torch.from_numpy(np.stack([near] * 3, 1))[None]
    device = device_of(Given(scorer.plan, logits))
    levels = device.submit(batch_of(device, len(near))).result()[0].levels
    want = np.searchsorted(edges, near, side="right").astype(np.uint8)
    want[-1] = NOTHING
    np.testing.assert_array_equal(levels[:, 0], want)
    np.testing.assert_array_equal(levels[:, 1], np.where(near >= np.float32(0.2), want, NOTHING))


def test_no_tracks_and_no_hits(scorer):
    found, _ = hits_of(scorer, wanted_of([np.nan] * 3, [], []))
    assert all(len(x.at) == len(x.values) == 0 for x in found)
    assert all(x.levels is None and x.logits is None for x in found)


@pytest.fixture
def agree(fasta, model, tmp_path, monkeypatch):
    """agree(**options): raises unless a scan writes the same bytes with all logits."""

    def check(**options):
        tcnfast.scan(fasta, model, tmp_path / "compact", **options, **FP32)
        monkeypatch.setattr(pipeline, "compacts", lambda plan: False)
        tcnfast.scan(fasta, model, tmp_path / "dense", **options, **FP32)
        assert files_in(tmp_path / "compact") == files_in(tmp_path / "dense")

    return check


@needs_engine
@pytest.mark.parametrize("options", [{}, {"strand": "max"}, {"batch_size": 3}])
def test_a_scan_writes_the_same_bytes(agree, options):
    agree(tracks=TRACKS, **options)


def test_a_scan_within_regions_writes_the_same_bytes(agree, tmp_path):
    bed = tmp_path / "x.bed"
    bed.write_text("".join(f"chr20\t{x}\t{x + 200 + x % 777}\n" for x in range(3, 90_000, 900)))
    agree(within=bed)


# hits that kernels find without logits


def found_in(scorer, codes, wanted, batch_size=1):
    found, whole = hits_of(scorer, wanted, batch_size, 256, codes)
    rows = np.concatenate([x.first_step * 3 + x.at for x in found])
    tracks = np.concatenate([x.logits if x.levels is None else x.levels for x in found])
    values = np.concatenate([x.values for x in found])
    return type(whole.device._scores), found, rows, values, tracks


def short_of_memory(monkeypatch, most, owner=Scorer, name="scores", of=0):
    """``owner.name`` has memory for ``most`` of what argument ``of`` holds along its second axis;
    returns how much it was asked for each time."""
    asked, healthy = [], getattr(owner, name)

    def limited(self, *given):
        asked.append(given[of].shape[1])
        if asked[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return healthy(self, *given)

    monkeypatch.setattr(owner, name, limited)
    return asked


def on_kernels(model, strand):
    return Scorer(model, strand, stride=8, backend="triton", **FP32)


def features(stack, codes):
    """In the place of a stack's blocks, which the interpreter takes long for: what is made up of
    two codes of each row."""
    head, steps = stack.head, stack.grid.n_scores(codes.shape[1])
    at = torch.arange((steps - 1) * head.sample + 1) * (stack.grid.stride // head.sample)
    mixed = codes[:, at].float()[..., None] + 5 * codes[:, at + 9][..., None]
    angles = mixed * torch.arange(1, 1 + len(head.matrix)) + stack.blocks[0].tap
    return angles.sin().to(head.matrix.dtype)


@needs_triton
@pytest.mark.parametrize("strand, levels, batch_size", [("both", True, 2), ("max", False, 1)])
def test_hits_without_logits_are_those_of_logits(monkeypatch, strand, levels, batch_size):
    """On the Triton kernels, in their interpreter; a gap, and segments of nothing but it."""
    monkeypatch.setattr(triton_engine.Stack, "rows", features)
    scorer = on_kernels(random_model(blocks=2, first_kernel=3), strand)
    codes = contig(1_450, gaps=[(200, 1_000), (1_440, 1_450)])
    wanted = wanted_of(levels=levels)
    kind, found, *got = found_in(scorer, codes, wanted, batch_size)
    assert kind is device_scores.Counts and sum(len(x.at) for x in found) > 30
    assert {x.at.dtype for x in found} == {np.dtype(np.int64)}
    assert len(found[2].at) == 0  # a gap
    asked = short_of_memory(monkeypatch, 20, HitFinder, "score", of=1)
    _, _, rows, values, _ = found_in(scorer, codes, wanted, batch_size)
    # a batch of two fits in 16 steps, then its one sequence does; the last segment is 22
    assert asked[:2] == [32, 16] and asked.count(32) == batch_size and set(asked) == {32, 16, 6}
    np.testing.assert_array_equal(rows, got[0])
    np.testing.assert_allclose(values, got[1], rtol=1e-5)  # numpy's products depend on tiles
    monkeypatch.setattr(HitFinder, "why_not", lambda plans: "not today")
    kind, _, *want = found_in(scorer, codes, wanted, batch_size)
    assert kind is device_scores.Logits
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


# scores that are no numbers


def overflowing(**config):
    """A model whose weights are finite and whose scores are not."""
    model = random_model(**config)
    with torch.no_grad():
        model.head.weight[:] = 3e38 * torch.sign(model.head.weight)
    return model


def test_scores_that_are_no_numbers_are_an_error_on_a_device_too():
    """It said 0 calls, and exit code 0."""
    scorer = Scorer(overflowing(), stride=8, **FP32)
    with pytest.raises(TcnfastError, match="model on device cpu: .*scores are NaN or infinite"):
        hits_of(scorer, wanted_of())


@needs_triton
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")  # numpy's, which interprets
@pytest.mark.parametrize("strand", ["both", "max", "+"])
def test_scores_that_are_no_numbers_are_seen_without_logits(monkeypatch, strand):
    monkeypatch.setattr(triton_engine.Stack, "rows", features)
    scorer = on_kernels(overflowing(blocks=2, first_kernel=3), strand)
    codes = contig(1_450, gaps=[(200, 1_000), (1_440, 1_450)])
    with pytest.raises(TcnfastError, match="model on device cpu: .*scores are NaN or infinite"):
        found_in(scorer, codes, wanted_of())


@needs_triton
@pytest.mark.parametrize("strand", ["both", "max"])
def test_what_is_looked_at_are_the_first_logits(monkeypatch, strand):
    monkeypatch.setattr(triton_engine.Stack, "rows", features)
    scorer = on_kernels(random_model(blocks=2, first_kernel=3), strand)
    codes = torch.from_numpy(np.stack([contig(300), contig(300)[::-1].copy()]))
    want = scorer.scores(codes)[:, 0]
    unknown = torch.zeros(2, scorer.scores(codes).shape[1], dtype=torch.bool)
    finder = HitFinder(scorer.plans, np.float32([0.3] * 3), np.array([], np.int64))
    np.testing.assert_allclose(finder.first(finder.score(codes, unknown)), want, rtol=1e-5)
    assert finder.first(finder.gap(unknown)) is None


# memory


def test_page_locked_memory_is_used_again_once_its_hits_are_there(scorer):
    device = device_of(scorer)
    first = batch_of(device)
    pending = device.submit(first)
    assert not np.shares_memory(batch_of(device).codes, first.codes), "it is in use"
    pending.result()
    assert np.shares_memory(batch_of(device).codes, first.codes)


@needs_engine
def test_out_of_memory_halves_segments_says_so_once_and_changes_nothing(
    scanned, fasta, model, out, monkeypatch, caplog
):
    asked = short_of_memory(monkeypatch, 10_000)
    with caplog.at_level(logging.WARNING):
        tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)
    assert files_in(out) == files_in(scanned.path)
    said = [record.message for record in caplog.records]
    assert said == ["WARNING: device cpu: out of memory; segments are halved until they fit"]
    # while the speed is measured, on 1 Mb; no more then, and no piece is shorter than it must be
    assert [length // 2**13 for length in asked[:8]] == [128, 64, 32, 16, 8, 4, 2, 1]
    assert max(asked[7:]) <= 10_000 and sum(length < 8_000 for length in asked) == 2


@needs_engine
def test_out_of_memory_while_hits_are_compacted(scanned, fasta, model, out, monkeypatch):
    nonzero, lengths = torch.Tensor.nonzero, []

    def limited(reached):
        lengths.append(len(reached) // 3)  # of three labels
        if len(lengths) <= 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return nonzero(reached)

    monkeypatch.setattr(torch.Tensor, "nonzero", limited)
    tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)
    assert files_in(out) == files_in(scanned.path)
    assert lengths[:4] == [2**15, 2**14, 2**13, 2**12]


def test_no_memory_at_all_is_an_error(fasta, model, out, cli, monkeypatch):
    short_of_memory(monkeypatch, 0)
    code, lines = cli(fasta, "-m", model, "-o", out)
    assert code == 1 and "device cpu: out of memory, even for a few kilobases" in lines[-1]
    assert not out.exists() and not partial(out).exists()


# a device that vanishes


@pytest.mark.parametrize("where", ["scores", "nonzero"])
def test_a_vanished_device_is_named_and_what_is_finished_is_kept(
    scanned, fasta, model, out, cli, monkeypatch, where
):
    owner = Scorer if where == "scores" else torch.Tensor
    healthy, left = getattr(owner, where), [5]  # two measure the speed, the last is of chr21

    def vanishes(*args):
        if not left[0]:
            raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might")
        left[0] -= 1
        return healthy(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, vanishes)
        code, lines = cli(fasta, "-m", model, "-o", out, "--tracks", ",".join(TRACKS))
    assert code == 1 and len(lines) == 2, lines
    assert "what is finished is kept in" in lines[0]
    assert lines[1] == (
        "tcnfast: error: device cpu failed: CUDA error: unspecified launch failure; --resume goes "
        "on after the last finished stretch"
    )
    tcnfast.scan(fasta, model, out, tracks=TRACKS, resume=True, **FP32)
    assert files_in(out) == files_in(scanned.path)


def test_a_mistake_of_the_user_is_not_called_a_failing_device(scorer):
    class Missing(Contigs):
        def codes(self, *_):
            raise TcnfastError("x.fa: became shorter while it was read")

    pipeline = Pipeline(scorer, Missing(chr=CODES), wanted_of())
    works = pipeline.groups(Stretch(0, "chr", 0, 10, 10))
    with pytest.raises(TcnfastError, match="^x.fa: became shorter"):
        next(pipeline.scored(works))


# the order of things on three streams


class Watched(Lane):
    """A lane that writes down what a stream would be told."""

    def __init__(self, device, seen):
        super().__init__(device)
        self.name, self.seen = ("up", "compute", "down")[len(seen)], seen
        seen.append((self.name, "new", None))

    def mark(self):
        mark = super().mark()
        self.seen.append((self.name, "mark", mark))
        return mark

    def wait(self, mark):
        self.seen.append((self.name, "wait", mark))

    def uses(self, tensor):
        self.seen.append((self.name, "uses", tuple(tensor.shape)))

    def to_host(self, tensor):
        self.seen.append((self.name, "copy", tuple(tensor.shape)))
        return super().to_host(tensor)

    def finish(self):
        self.seen.append((self.name, "finish", None))


def test_each_stream_waits_for_the_one_before(scorer):
    seen = []
    device = device_of(scorer, lane=lambda where: Watched(where, seen))
    pending = device.submit(batch_of(device))
    assert not any(name == "down" for name, act, _ in seen if act != "new")
    pending.result()
    marks = {name: [m for n, act, m in seen if (n, act) == (name, "mark")] for name, _, _ in seen}
    waits = {name: mark for name, act, mark in seen if act == "wait"}
    # for what was copied up, and for the scores
    assert waits == {"compute": marks["up"][-1], "down": marks["compute"][-1]}
    down = [act for name, act, _ in seen if name == "down" and act != "mark"]
    uses, copies = down.count("uses"), down.count("copy")
    assert uses and copies, "what is on the device is kept before it is read"
    assert down == ["new", "wait", *["uses"] * uses, *["copy"] * copies, "finish"]
