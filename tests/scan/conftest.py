"""Fixtures of the tests of scan/."""

import logging
from importlib.util import find_spec

import pytest

# a machine for benchmarks/gpu_check.py may lack what a whole scan reads and writes with
if all(find_spec(name) for name in ("pyfaidx", "pyBigWig")):
    from support.scan import FP32, LABELS, TRACKS, calling_model, small_genome, write_fasta

    import tcnfast
    from tcnfast.cli import main
    from tcnfast.engines import segments
    from tcnfast.scan import pieces, pipeline
    from tcnfast.scan.pipeline import DenseDevice


@pytest.fixture(name="small_segments", scope="module")
def fixture_small_segments():
    """Stretches of 65,536 bases, of which chr20 and chr21 have two each, and at stride 32 segments
    of half as many: four of chr20 and three of chr21."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT_LOGITS", 2**15 // 32 * len(LABELS))
        patch.setattr(pieces, "STRETCH_BASES", 2**16)
        patch.setattr(pieces, "LEAST_STEPS", 1)
        yield


@pytest.fixture(name="fasta", scope="module")
def fixture_fasta(tmp_path_factory):
    return write_fasta(tmp_path_factory.mktemp("genome") / "genome.fa", small_genome())


@pytest.fixture(name="model", scope="module")
def fixture_model(tmp_path_factory):
    """Folder of a model that calls."""
    folder = tmp_path_factory.mktemp("models") / "small"
    calling_model().save(folder)
    return folder


@pytest.fixture(name="scanned", scope="module")
def fixture_scanned(small_segments, fasta, model, tmp_path_factory):
    """An undisturbed scan with tracks of two labels."""
    out = tmp_path_factory.mktemp("scans") / "scan"
    return tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)


@pytest.fixture(name="out")
def fixture_out(tmp_path):
    return tmp_path / "scan"


@pytest.fixture(name="scored")
def fixture_scored(monkeypatch):
    """(chrom, first step) of every segment that is scored."""
    seen, read = [], pipeline.read

    def spy(genome, chrom, spans, *rest):
        seen.extend((chrom, first) for first, _ in spans)
        return read(genome, chrom, spans, *rest)

    monkeypatch.setattr(pipeline, "read", spy)
    return seen


@pytest.fixture(name="interrupt")
def fixture_interrupt(monkeypatch):
    """interrupt(n, error): the scan stops with ``error`` when n segments were scored and taken in,
    of which no scan of the speed is one; the next scan is let be."""
    submit = DenseDevice.submit

    def arm(n, error=KeyboardInterrupt):
        left = [n + 2]  # the speed is measured by two

        def stopping(device, batch):
            left[0] -= 1
            if left[0] == -1:
                raise error
            return submit(device, batch)

        monkeypatch.setattr(pipeline, "WRITE_BEHIND", 0)
        monkeypatch.setattr(DenseDevice, "submit", stopping)

    return arm


@pytest.fixture(name="cli")
def fixture_cli(capfd):
    """cli(*words) -> exit code and lines of stderr; the root logger is put back."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(*words):
        try:
            code = main(["scan", "-q", "--precision", "fp32", *map(str, words)])
        except SystemExit as stop:  # a usage error
            code = stop.code
        captured = capfd.readouterr()
        assert captured.out == "", captured.out
        return code, captured.err.splitlines()

    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
