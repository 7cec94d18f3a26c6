"""The streaming pipeline against windows cut by hand, and what it keeps in memory."""

import threading
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.scanner import (
    Contigs,
    assert_scores,
    by_hand,
    contig,
    cut,
    scan_contig,
    scorer_of,
    scores,
)

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import reverse_complement
from tcnfast.scan.pieces import n_steps, segment_spans
from tcnfast.scan.pipeline import Scorer, look_ahead

# scores


@pytest.mark.parametrize("strand", ["+", "-", "both", "max"])
@pytest.mark.parametrize("stride", [1, 8, 32, 512])  # the model has 2^4 = 16 at its top
def test_scores_are_those_of_windows_cut_by_hand(make_model, stride, strand):
    model = make_model(first_kernel=7, label_bin=40)
    codes = contig(1500 if stride == 1 else 6001, gaps=[(200, 330), (900, 941)])
    want = by_hand(model, codes, stride, strand)
    assert np.isnan(want).any() or stride == 512
    got = scores(scorer_of(model, stride, strand), codes, segment_bases=700)
    assert_scores(got, want)


@pytest.mark.parametrize("config", [dict(alignment="causal"), dict(norm="weight"), dict(blocks=1)])
def test_scores_of_other_models(make_model, config):
    model, codes = make_model(**config), contig(3000)
    want = by_hand(model, codes, 32, "both")
    assert_scores(scores(scorer_of(model), codes, segment_bases=256), want)


def test_the_receptive_field_may_exceed_a_segment_and_the_contig(make_model):
    model = make_model(blocks=6)  # 253 bases
    codes = contig(200)
    want = by_hand(model, codes, 8, "both")
    assert_scores(scores(scorer_of(model, 8), codes, segment_bases=16), want)


@pytest.mark.parametrize("stride", [1, 8, 32, 512])
@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 60, 61, 512, 513, 1024, 1025])
def test_contigs_of_any_length(make_model, stride, size):
    """One base, less than the receptive field of 61, a multiple of the stride, one more."""
    model = make_model(label_bin=10)
    codes = np.random.default_rng(size).integers(0, 4, size, np.uint8)
    got = scores(scorer_of(model, stride), codes, segment_bases=128)
    assert len(got) == -(-size // stride) == n_steps(size, stride)
    assert_scores(got, by_hand(model, codes, stride, "both"))


def test_a_contig_without_bases_gives_no_segment(make_model):
    assert list(scan_contig(scorer_of(make_model()), Contigs(e=[]), "e")) == []


def test_both_strands_of_a_contig_score_alike(make_model):
    """Centres of step j and of its mirror image coincide where stride is 1."""
    scorer, codes = scorer_of(make_model(label_bin=21), 1), contig(500)
    forward = scores(scorer, codes)
    assert_scores(scores(scorer, reverse_complement(codes))[::-1], forward)


# what scores do not depend on


@pytest.mark.parametrize("stride", [1, 32])
def test_scores_depend_on_neither_segments_nor_batches(make_model, stride):
    model, codes = make_model(), contig(5003, gaps=[(1000, 1500)])
    scorer = scorer_of(model, stride)
    want = scores(scorer, codes)
    for segment_bases in (1, 33, 640, 5003, 2**20):
        if stride == 1 and segment_bases == 1:
            continue  # five thousand calls
        for batch_size in (1, 3):
            got = scores(scorer, codes, segment_bases=segment_bases, batch_size=batch_size)
            assert_scores(got, want)


def test_scores_do_not_depend_on_threads(make_model):
    scorer, codes = scorer_of(make_model()), contig(20_000)
    want = scores(scorer, codes)
    torch.set_num_threads(2)
    assert_scores(scores(scorer, codes), want)


def test_scores_do_not_depend_on_what_else_is_wanted(make_model):
    scorer, codes = scorer_of(make_model()), contig(10_000)
    want = scores(scorer, codes, segment_bases=640)
    genome, asked = Contigs(chr=codes), []

    def wanted(first, last):
        asked.append((first, last))
        return (first // 20) % 3 == 1

    some = list(scan_contig(scorer, genome, "chr", segment_bases=640, wanted=wanted, batch_size=2))
    assert [segment.first_step for segment in some] == [20, 80, 140, 200, 260]
    for first, logits in some:
        assert_scores(logits, want[first : first + 20])
    assert asked[0] == (0, 20) and len(asked) == 16


def test_segments_are_a_function_of_the_stretch_alone():
    assert segment_spans(0, 4, 2) == [(0, 2), (2, 4)]
    assert segment_spans(8, 13, 2) == [(8, 10), (10, 12), (12, 13)]
    assert segment_spans(0, 3, 0) == [(0, 1), (1, 2), (2, 3)]
    assert segment_spans(0, 0, 64) == []


# unknown sequence


@pytest.mark.parametrize("label_bin", [200, 20, 7, 1])
@pytest.mark.parametrize("stride", [1, 32])
def test_no_score_exactly_where_the_label_bin_is_all_n(make_model, label_bin, stride):
    model = make_model(label_bin=label_bin)
    codes = np.zeros(1700, np.uint8)
    for gap in [(0, 150), (300, 499), (600, 800), (900, 1101), (1200, 1500), (1650, 1700)]:
        codes[slice(*gap)] = 4
    got = np.isnan(scores(scorer_of(model, stride), codes, segment_bases=320))
    for step in range(len(got)):
        start = step * stride + stride // 2 - label_bin // 2
        all_n = (cut(codes, start, start + label_bin) == 4).all()
        assert (got[step] == all_n).all(), f"step {step}"


def test_a_contig_of_n_has_no_score(make_model):
    assert np.isnan(scores(scorer_of(make_model()), np.full(2000, 4, np.uint8))).all()


def test_no_time_is_spent_on_nothing_but_n(make_model, monkeypatch):
    given, call = [], Scorer.__call__

    def counted(self, codes):
        given.append(codes.copy())
        return call(self, codes)

    monkeypatch.setattr(Scorer, "__call__", counted)
    scorer = scorer_of(make_model())
    assert np.isnan(scores(scorer, np.full(50_000, 4, np.uint8), segment_bases=1024)).all()
    assert not given
    found = scores(scorer, contig(6000, gaps=[(1000, 5000)]), segment_bases=256)
    assert 20 <= np.isfinite(found).all(1).sum() < 100
    assert 0 < sum(len(rows) for rows in given) < 12  # of 24 segments


def test_an_unknown_way_to_join_strands_raises(make_model):
    with pytest.raises(TcnfastError, match="strand 'sum': must be"):
        Scorer(make_model(), "sum", device="cpu")


# streaming


class CountingGenome:
    """A contig of 300 Mb that is nowhere; counts what was read."""

    sizes = {"chr": 300_000_000}

    def __init__(self):
        self.reads, self.longest = 0, 0

    def codes(self, chrom, start, end):
        self.reads += 1
        self.longest = max(self.longest, end - start)
        return np.zeros(end - start, np.uint8)


def zero_scorer(stride=32, receptive_field=1021):
    """A Scorer whose scores are 0."""

    class Zero:
        plan = SimpleNamespace(
            stride=stride, receptive_field=receptive_field, segment_bases=2**16, labels=["a", "b"]
        )
        label_bin = 200

        def __call__(self, codes):
            steps = (codes.shape[1] - receptive_field) // stride + 1
            return np.zeros((len(codes), steps, 2), np.float32)

    return Zero()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_long_contig_is_streamed_with_a_bounded_look_ahead(batch_size):
    genome, seen, outstanding = CountingGenome(), 0, 0
    segments = scan_contig(zero_scorer(), genome, "chr", batch_size=batch_size)
    assert genome.reads == 0
    tracemalloc.start()
    for segment in segments:
        seen += 1
        assert len(segment.logits) == 2048
        outstanding = max(outstanding, genome.reads - seen)
        if seen == 400:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    segments.close()
    ahead = (look_ahead(readers=1) + 1) * batch_size
    assert outstanding <= ahead and genome.reads <= seen + ahead
    assert genome.longest <= 2**16 + 2 * 1021
    assert peak < 4e6 * batch_size + 4e6  # of 300 Mb


@pytest.mark.parametrize("batch_size", [1, 3])
def test_segments_without_a_known_base_are_not_scored(batch_size):
    class Gaps(CountingGenome):
        def codes(self, chrom, start, end):
            at = np.arange(start, end)
            return np.where((at >= 150_000) & (at < 500_000), 4, 0).astype(np.uint8)

    scored, scorer = [], zero_scorer()
    score = type(scorer).__call__
    type(scorer).__call__ = lambda self, codes: scored.append(len(codes)) or score(self, codes)
    segments = []
    for segment in scan_contig(scorer, Gaps(), "chr", batch_size=batch_size):
        segments.append(segment)
        if len(segments) == 12:
            break
    gap = np.concatenate([np.isnan(segment.logits).all(1) for segment in segments])
    middles = 32 * np.arange(len(gap)) + 16
    assert (gap == ((middles - 100 >= 150_000) & (middles + 100 <= 500_000))).all()
    first, last = 150_000 // 2**16 + 1, 500_000 // 2**16
    assert last - first >= 4 and sum(scored) >= 12 - (last - first)
    assert sum(scored) <= 12 + 3 * batch_size - (last - first)  # some are scored ahead


def test_reading_runs_ahead_of_scoring():
    """While one batch is scored the next two are read."""
    genome, scorer = CountingGenome(), zero_scorer()
    segments = scan_contig(scorer, genome, "chr")
    next(segments)
    deadline = time.monotonic() + 10
    while genome.reads < 1 + look_ahead(1) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert genome.reads == 1 + look_ahead(1)
    segments.close()


def reader_threads():
    return [t for t in threading.enumerate() if t.name.startswith(("reader", "writer"))]


def test_closing_early_ends_the_reader():
    segments = scan_contig(zero_scorer(), CountingGenome(), "chr")
    next(segments)
    assert reader_threads()
    segments.close()
    assert not reader_threads()


def test_a_failing_read_surfaces_after_the_segments_before_it():
    class Damaged(CountingGenome):
        def codes(self, chrom, start, end):
            if start > 4 * 2**16:
                raise TcnfastError("hg38.fa: became shorter while it was read")
            return super().codes(chrom, start, end)

    seen = []
    with pytest.raises(TcnfastError, match="became shorter"):
        for segment in scan_contig(zero_scorer(), Damaged(), "chr"):
            seen.append(segment.first_step)
    assert seen == [0, 2048, 4096, 6144, 8192][: len(seen)] and len(seen) >= 4
    assert not reader_threads()


def test_a_failing_scorer_surfaces():
    scorer = zero_scorer()

    class Broken(type(scorer)):
        def __call__(self, codes):
            raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        next(scan_contig(Broken(), CountingGenome(), "chr"))
    assert not reader_threads()
