"""One chooser for every task: a backend that is named runs it, or an error says why not."""

import importlib.util

import numpy as np
import pytest
import torch
from support.models import random_model

from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.mutagenesis import Mutagenesis
from tcnfast.attribute.networks import Networks
from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import Run
from tcnfast.engines import backend as backends
from tcnfast.engines import ops, training_pass, triton_blocks, triton_engine
from tcnfast.engines.plan import Plan
from tcnfast.genome.genome import Genome
from tcnfast.scan import ScanOptions
from tcnfast.scan.motif_run import MotifJob
from tcnfast.variants.effects import EffectScorer
from tcnfast.variants.records import Allele
from tcnfast.windows.architectures import build, window_scorer

CPU = torch.device("cpu")
MOTIFS = """MEME version 4

ALPHABET= ACGT

MOTIF M1 one
letter-probability matrix: alength= 4 w= 4
1 0 0 0
0 1 0 0
0 0 1 0
0 0 0 1
"""


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "genome.fa").write_text(">chr1\n" + "ACGTTGCAAC" * 40 + "\n")
    return Genome(tmp_path / "genome.fa")


def scan(genome):
    plan = Plan(random_model(), "cpu", "fp32", stride=4)
    assert plan(genome.codes("chr1", 0, 400)).isfinite().all()
    return plan.backend


def block(genome):
    weights = torch.randn(5, 4, 3), torch.randn(5, 5, 3)
    bias, codes = torch.zeros(5), torch.zeros(1, 20, dtype=torch.uint8)
    rows = None, bias, None, bias, None, None, torch.zeros(5, 5)
    assert ops.block(codes, *weights, *rows, 1, 1, 2, 0.0, "fp32")[0].isfinite().all()
    kernels = ops.implementation(CPU, "fp32", 3) is triton_blocks
    return "triton" if kernels else "cpu"


def training(genome):
    model = random_model().train()
    codes = torch.from_numpy(genome.codes("chr1", 0, 400))[None]
    assert model.dense(codes, 4).isfinite().all()
    return training_pass.backend_of(model, codes)


def gradients(genome):
    networks = Networks(random_model(), device="cpu")
    codes = genome.codes("chr1", 0, networks.receptive_field)[None]
    assert np.isfinite(integrated_gradients(networks, codes, [0], steps=2)[0].hypothetical).all()
    return networks.gradients.backend


def mutagenesis(genome):
    made = Mutagenesis(Networks(random_model(), device="cpu"))
    codes = genome.codes("chr1", 0, made.networks.receptive_field)[None]
    assert np.isfinite(made.effects(codes, [0])[1]).all()
    return made.backend


def variants(genome):
    scorer = EffectScorer(random_model(), device="cpu")
    alleles = [Allele(0, "chr1", 200, "", b"A", alt) for alt in (b"C", b"ACC")]
    found = scorer(genome, alleles)
    assert all(np.isfinite(column).all() for column in found.values())
    return scorer.backend


def motif_hits(genome):
    (genome.paths[0].parent / "motifs.meme").write_text(MOTIFS)
    options = ScanOptions(motifs=genome.paths[0].parent / "motifs.meme", p_value=0.01)
    job = MotifJob(genome, options, Run(device="cpu"))
    find, _ = job.finder.prepared(job.bases, job.device, job.backend)
    assert len(find(genome.codes("chr1", 0, 400), 397))
    return job.backend


def other_networks(genome):
    score = window_scorer(build("deepbind", ["a"], 200), "cpu", "fp32")
    assert np.isfinite(score(np.zeros((1, 200), np.uint8))).all()
    return backends.choose(backends.OTHER_NETWORKS, "auto", CPU, "fp32").backend


RUNS = {
    "scan": scan,
    "residual block": block,
    "training step": training,
    "gradients": gradients,
    "mutagenesis": mutagenesis,
    "variants": variants,
    "motif hits": motif_hits,
    "other networks": other_networks,
}


def test_every_task_is_run_here():
    assert list(RUNS) == [task.name for task in backends.TASKS]


@pytest.mark.parametrize("backend", backends.DEVICES)
@pytest.mark.parametrize("task", backends.TASKS, ids=lambda task: task.name)
def test_a_backend_that_is_named_runs_the_task_or_raises(task, backend, genome, monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, backend)
    reason = backends.why_not(task, CPU, "fp32")
    if reason is None:
        assert RUNS[task.name](genome) == backend
        return
    assert backend in reason
    with pytest.raises(TcnfastError, match=f"backend {backend} cannot run"):
        RUNS[task.name](genome)


@pytest.mark.parametrize("task", backends.TASKS, ids=lambda task: task.name)
def test_without_a_gpu_the_kernels_run_nothing(task, genome, monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(TcnfastError, match="backend triton cannot run"):
        RUNS[task.name](genome)


@pytest.mark.parametrize("task", backends.TASKS, ids=lambda task: task.name)
def test_an_unknown_backend_raises_everywhere(task, genome, monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "quantum")
    with pytest.raises(TcnfastError, match="'quantum' is not in this build; it has: triton, cpu"):
        RUNS[task.name](genome)


@pytest.mark.parametrize("task", backends.TASKS, ids=lambda task: task.name)
def test_auto_takes_the_first_that_suits_the_device(task, monkeypatch):
    monkeypatch.delenv(backends.VARIABLE, raising=False)
    chosen = backends.choose(task, "auto", CPU, "fp32")
    suits = [way.backend for way in task.implementations if way.suits(CPU)]
    assert suits.index(chosen.backend) == len(chosen.passed_over)


def test_what_only_plain_modules_can_train_raises_where_the_engine_is_named(monkeypatch):
    model = random_model().train()
    codes = torch.zeros(2, 200, dtype=torch.uint8)
    model.head.register_forward_hook(lambda *_: None)
    assert training_pass.backend_of(model, codes) == "reference"
    monkeypatch.setenv(backends.VARIABLE, "cpu")
    with pytest.raises(TcnfastError, match="the network has hooks"):
        model.dense(codes, 4)


def test_networks_train_as_plain_modules_where_no_backend_is_for_the_device():
    model, codes = random_model().to("meta").train(), torch.zeros(2, 200, dtype=torch.uint8)
    assert training_pass.backend_of(model, codes.to("meta")) == "reference"
    size = model.config.grid(4).n_scores(200)
    assert model.dense(codes.to("meta"), 4).shape == (2, 3, size)


def test_the_interpreter_refuses_bf16_with_a_word(monkeypatch):
    """It would give wrong numbers."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    reason = triton_engine.why_not_here(torch.device("cpu"), "bf16")
    assert "gets bf16 products wrong" in reason
    assert triton_engine.why_not_here(torch.device("cpu"), "fp16") is None


@pytest.mark.parametrize(
    "triton, numpy, refused", [((3, 6), (2, 4), True), ((3, 9), (2, 5), False)]
)
def test_the_interpreter_refuses_a_numpy_that_it_does_not_know(monkeypatch, triton, numpy, refused):
    versions = {"triton": triton, "numpy": numpy}
    monkeypatch.setattr(triton_engine, "version_of", versions.get)
    reason = triton_engine.why_not_interpreted("fp32")
    assert ("needs numpy before 2.4" in reason) if refused else reason is None
