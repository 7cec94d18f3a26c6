"""What the tests of a scan share: a model that calls something, small genomes, plain readers.

A test file gets a fixture by importing fixture_<name>.
"""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_model

import tcnfast
from tcnfast.cli import main
from tcnfast.engines.plan import Plan
from tcnfast.model.thresholds import Threshold
from tcnfast.scan import scanner, stream, stretches
from tcnfast.scan.devices import DenseDevice

SIZES = {"chr20": 100_000, "chrUn_x": 3_000, "chr1_alt": 5_000, "chr21": 70_017, "chrM": 2_000}
SCANNED = ["chr20", "chr21"]
GAP = (40_000, 43_000)  # of chr20, all N
LABELS = ["CTCF@K562", "MAX@K562", "REST"]
TRACKS = ["CTCF@K562", "REST"]
FP32 = dict(device="cpu", precision="fp32")


def calling_model(**config):
    """A small random model whose thresholds call about one step in twelve of random DNA."""
    torch.manual_seed(3)
    model = random_model(**config)
    codes = np.random.default_rng(3).integers(0, 4, 64_000, np.uint8)
    logits = Plan(model, device="cpu", precision="fp32", strand="both")(codes).numpy()
    cutoffs = np.quantile(logits, 0.92, axis=0)
    model.thresholds = {
        label: Threshold(label, float(f"{1 / (1 + np.exp(-cutoff)):.6g}"), 0.5 + i / 10, 0.25, 77)
        for i, (label, cutoff) in enumerate(zip(model.labels, cutoffs.tolist(), strict=True))
    }
    return model


def random_letters(size, seed=0):
    letters = np.frombuffer(b"ACGT", np.uint8)
    return letters[np.random.default_rng(seed).integers(0, 4, size)].copy()


def small_genome():
    """Letters of each contig of SIZES; chr20 has a gap."""
    contigs = {name: random_letters(size, i) for i, (name, size) in enumerate(SIZES.items())}
    contigs["chr20"][slice(*GAP)] = ord("N")
    return contigs


def write_fasta(path, contigs, width=60):
    """``contigs``: name to uint8 letters, or bytes."""
    with open(path, "wb") as file:
        for name, letters in contigs.items():
            data = bytes(letters)
            file.write(b">%s\n" % name.encode())
            for i in range(0, len(data), width):
                file.write(data[i : i + width] + b"\n")
    return path


def files_in(folder, but=("run.json",)):
    """Bytes of every file below a folder, by relative path."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    relative = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in relative.items() if name not in but}


def read_rows(path):
    """Lines of a tab-separated file as lists of words."""
    return [line.split("\t") for line in Path(path).read_text().splitlines()]


def calls_of(path):
    """(chrom, start, end) of a narrowPeak file."""
    return [(row[0], int(row[1]), int(row[2])) for row in read_rows(path)]


def run_record_of(folder):
    return json.loads((Path(folder) / "run.json").read_text())


def partial(out):
    return out.with_name(out.name + ".partial")


@pytest.fixture(name="segments", scope="module", autouse=True)
def fixture_segments():
    """Stretches of 65,536 bases, of which chr20 and chr21 have two each, and at stride 32 segments
    of half as many: four of chr20 and three of chr21."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "SEGMENT_LOGITS", 2**15 // 32 * len(LABELS))
        patch.setattr(stretches, "STRETCH_BASES", 2**16)
        patch.setattr(stretches, "LEAST_STEPS", 1)
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
def fixture_scanned(fasta, model, tmp_path_factory):
    """An undisturbed scan with tracks of two labels."""
    out = tmp_path_factory.mktemp("scans") / "scan"
    return tcnfast.scan(fasta, model, out, tracks=TRACKS, **FP32)


@pytest.fixture(name="out")
def fixture_out(tmp_path):
    return tmp_path / "scan"


@pytest.fixture(name="scored")
def fixture_scored(monkeypatch):
    """(chrom, first step) of every segment that is scored."""
    seen, read = [], scanner.read

    def spy(genome, chrom, spans, *rest):
        seen.extend((chrom, first) for first, _ in spans)
        return read(genome, chrom, spans, *rest)

    monkeypatch.setattr(scanner, "read", spy)
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

        monkeypatch.setattr(stream, "WRITE_BEHIND", 0)
        monkeypatch.setattr(DenseDevice, "submit", stopping)

    return arm


@pytest.fixture(name="cli")
def fixture_cli(capfd):
    """cli(*words) -> exit code and lines of stderr; the root logger is put back."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(*words):
        code = main(["scan", "-q", "--precision", "fp32", *map(str, words)])
        captured = capfd.readouterr()
        assert captured.out == "", captured.out
        return code, captured.err.splitlines()

    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
