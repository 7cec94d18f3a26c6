"""What the tests of a scan share: a model that calls something, small genomes, plain readers."""

import json
from pathlib import Path

import numpy as np
import torch

import tcnfast
from support.models import random_model
from support.scanner import scan_contig
from tcnfast.engines.plan import Plan
from tcnfast.model.thresholds import Threshold
from tcnfast.scan.pipeline import Scorer

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


# what shows the result to people and to other programs: tests/scan/test_page.py
SHOWN = ("index.html", "igv_session.xml", "jbrowse.json", "tcnfast_mqc.tsv")


def files_in(folder, but=("run.json", *SHOWN)):
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


def logits_of(model, fasta, chrom, stride=32):
    from tcnfast.genome.genome import Genome

    scorer = Scorer(tcnfast.load_model(model), stride=stride, **FP32)
    with Genome(fasta) as genome:
        return np.concatenate([part.logits for part in scan_contig(scorer, genome, chrom)])
