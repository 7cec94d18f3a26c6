"""What only a GPU can show of a scan: three streams, page-locked memory, and memory that runs out.

The same operations run on the processor in tests/test_compact.py.
"""

import logging
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from support.models import random_model
from support.scan import TRACKS, files_in, run_record_of
from support.scanner import Contigs, contig, scan_contig

import tcnfast
from tcnfast.scan import pieces, pipeline
from tcnfast.scan.compact import CompactDevice
from tcnfast.scan.pieces import Stretch, Wanted
from tcnfast.scan.pipeline import Pipeline, Scorer

# a machine for gpu_check.py may lack what a whole scan reads and writes with
whole_scans = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("pyBigWig", "pyfaidx")),
    reason="needs pyBigWig and pyfaidx",
)
pytestmark = pytest.mark.gpu
GPU = dict(device="cuda", precision="fp32")
WANTED = Wanted(np.float32([0.3, np.nan, 0.5]), np.array([0, 2]), np.float32([-1, 0]))


def scored(scorer, codes, wanted=WANTED, **options):
    """Everything that comes back of a contig, and the device."""
    pipeline = Pipeline(scorer, Contigs(chr=codes), wanted, **options)
    steps = -(-len(codes) // scorer.plan.stride)
    whole = Stretch(0, "chr", 0, steps, steps)
    found = [x for _, result in pipeline.scored(pipeline.groups(whole)) for x in result()]
    rows = [x.first_step * 3 + x.at for x in found]
    columns = [np.concatenate(rows), np.concatenate([x.values for x in found])]
    return [*columns, np.concatenate([x.levels for x in found])], pipeline


def assert_same(got, want):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_hits_do_not_depend_on_segments_batches_or_pieces(precision):
    """While three batches are under way at once, over and over."""
    scorer = Scorer(random_model(channels=32), device="cuda", precision=precision, stride=8)
    codes = contig(3_000_000, gaps=[(1000, 9000)])
    want, pipeline = scored(scorer, codes)
    assert isinstance(pipeline.device, CompactDevice) and len(want[0]) > 10_000
    for segment_bases, batch_size in ((2**14, 1), (2**14, 5), (2**17, 1), (2**19, 2)):
        got, _ = scored(scorer, codes, segment_bases=segment_bases, batch_size=batch_size)
        assert_same(got, want)
    for _ in range(5):
        assert_same(scored(scorer, codes, segment_bases=2**15)[0], want)
    _, pipeline = scored(scorer, codes, segment_bases=2**15)
    assert pipeline.stages.seconds["compute"] > 0 and pipeline.stages.seconds["copy"] > 0


def test_hits_are_those_of_the_logits_on_the_host(monkeypatch):
    scorer, codes = Scorer(random_model(), stride=8, **GPU), contig(400_000, gaps=[(1000, 9000)])
    got, _ = scored(scorer, codes, segment_bases=2**15)
    logits = np.concatenate(
        [x.logits for x in scan_contig(scorer, Contigs(chr=codes), "chr", segment_bases=2**15)]
    )
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(logits >= WANTED.cutoffs)
    assert_same(got[:2], [at, logits.ravel()[at]])


@whole_scans
@pytest.mark.parametrize("options", [{}, {"strand": "max"}, {"batch_size": 3}])
def test_a_scan_writes_what_the_dense_way_writes(fasta, model, tmp_path, monkeypatch, options):
    monkeypatch.setattr(pieces, "STRETCH_BASES", 2**15)
    monkeypatch.setattr(pieces, "LEAST_STEPS", 1)
    options = dict(tracks=TRACKS, **options, **GPU)
    tcnfast.scan(fasta, model, tmp_path / "compact", **options)
    monkeypatch.setattr(pipeline, "compacts", lambda plan: False)
    tcnfast.scan(fasta, model, tmp_path / "dense", **options)
    assert files_in(tmp_path / "compact") == files_in(tmp_path / "dense")
    assert run_record_of(tmp_path / "compact")["stages"]["tail"] > 0


def test_memory_that_runs_out_halves_segments_and_changes_nothing(caplog, monkeypatch):
    scorer = Scorer(random_model(channels=64), stride=8, **GPU)
    codes = contig(8_000_000)
    want, _ = scored(scorer, codes, segment_bases=2**18)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.2e9 / total))
    try:
        with caplog.at_level(logging.WARNING):
            got, _ = scored(scorer, codes, segment_bases=2**23)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert_same(got, want)
    assert [record.message for record in caplog.records] == [
        "WARNING: device cuda: out of memory; segments are halved until they fit"
    ]


def test_segments_fit_the_memory_that_is_free(monkeypatch):
    scorer = Scorer(random_model(channels=64), stride=32, **GPU)
    pipeline = Pipeline(scorer, Contigs(chr=contig(10)), WANTED)
    per_base = pipeline.device.bytes_per_base()
    assert 1 < per_base < 10_000
    torch.cuda.empty_cache()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(per_base * 2**21), 0))
    assert pipeline.device.segment_bases(2**23, 3) in (2**18, 2**19, 2**20)


@whole_scans
@pytest.mark.gpu(2)
def test_two_gpus_write_what_one_writes(fasta, model, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "STRETCH_BASES", 2**13)
    monkeypatch.setattr(pieces, "LEAST_STEPS", 1)
    tcnfast.scan(fasta, model, tmp_path / "one", tracks=TRACKS, **GPU)
    tcnfast.scan(fasta, model, tmp_path / "two", tracks=TRACKS, devices="0,1", precision="fp32")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
