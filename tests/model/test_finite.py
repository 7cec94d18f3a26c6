"""Weights and scores that are NaN or infinite: one line where they enter, and no endless loop."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.cli import QUICK, data_words, fails, scan_words

from tcnfast.base.errors import TcnfastError
from tcnfast.engines.plan import Plan
from tcnfast.genome.genome import Genome
from tcnfast.model.load_model import load_model
from tcnfast.model.metrics import score_labels
from tcnfast.model.ranking import Ranking, ap_and_auroc
from tcnfast.report.report_loci import predicted_track
from tcnfast.train.teachers import Teachers
from tcnfast.windows.architectures import window_scorer

BAD = {"nan": float("nan"), "infinity": float("inf")}


def damaged(home, folder, value, name="head.bias"):
    """The model of ``home`` with one number of a tensor replaced."""
    load_model(home / "model").save(folder)
    state = load_file(folder / "model.safetensors")
    state[name].view(-1)[0] = value
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("bad", BAD)
def test_a_folder_with_weights_that_are_no_numbers_is_refused(run, home, tmp_path, bad):
    folder = damaged(home, tmp_path / "m", BAD[bad])
    words = "1 of 3 numbers of tensor head.bias are NaN or infinite; train it anew"
    for command in (
        ["scan", home / "genome.fa", "-m", folder, "-o", "out", "-q"],
        ["attribute", "-g", home / "genome.fa", "-m", folder, "-o", "out", "-q", "-b", "no.bed"],
        ["average", folder, home / "model", "-o", "out", "-q"],
        ["variants", "no.vcf", "-g", home / "genome.fa", "-m", folder, "-o", "out", "-q"],
    ):
        (tmp_path / "no.bed").write_text("chr20\t50000\t50001\n")
        assert str(folder / "model.safetensors") in fails(run(*command), words)
        assert not (tmp_path / "out").exists()


def test_evaluate_ends(run, home, lesson, tmp_path):
    folder = damaged(home, tmp_path / "m", BAD["nan"])
    words = ["evaluate", *data_words(lesson), "-m", folder, "-o", "out", "-q"]
    fails(run(*words), "tensor head.bias are NaN or infinite")


def test_a_model_in_memory_is_looked_at_too(home):
    import tcnfast

    model = load_model(home / "model")
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(TcnfastError, match="the model: 1 of 3 numbers of tensor head.bias"):
        tcnfast.scan(home / "genome.fa", model, home / "never")
    with pytest.raises(TcnfastError, match="nothing was written"):
        model.save(home / "never")
    assert not (home / "never").exists()


def overflowing(home, folder):
    """The model of ``home`` with weights that are numbers, and scores that are none."""
    damaged(home, folder, 3e38, "head.weight")
    state = load_file(folder / "model.safetensors")
    state["head.weight"][:] = 3e38 * torch.sign(state["head.weight"])
    save_file(state, folder / "model.safetensors")
    return folder


OVERFLOW = "numbers of tensor scores are NaN or infinite; its weights are too large"


def test_weights_that_overflow_are_an_error_and_not_a_genome_without_calls(run, home, tmp_path):
    words = scan_words(home, "out", "-q")
    words[words.index("-m") + 1] = overflowing(home, tmp_path / "m")
    fails(run(*words), OVERFLOW)


@pytest.mark.parametrize("mode", ["centre", "full"])
def test_effects_of_variants_are_looked_at(run, home, tmp_path, mode):
    with Genome(home / "genome.fa") as genome:
        base = "ACGT"[genome.codes("chr20", 50_000, 50_001)[0]]
    rows = [f"chr20\t50001\t{base}\t{'A' if base != 'A' else 'C'}\n"]
    (tmp_path / "v.tsv").write_text("chrom\tpos\tref\talt\n" + "".join(rows))
    words = ["variants", "v.tsv", "-g", home / "genome.fa", "-m", overflowing(home, tmp_path / "m")]
    fails(
        run(*words, "-o", "out", "-q", "--stride", 16, "--mode", mode, "--device", "cpu"), OVERFLOW
    )
    assert not (tmp_path / "out").exists()


def test_tracks_of_a_report_are_looked_at(home, tmp_path):
    plan = Plan(load_model(overflowing(home, tmp_path / "m")), "cpu", "fp32", strand="both")
    with Genome(home / "genome.fa") as genome, pytest.raises(TcnfastError, match=OVERFLOW):
        predicted_track(plan, genome, "REST", "chr20", 50_000, 4_000)


def test_scores_of_windows_are_looked_at(home, tmp_path):
    model = load_model(overflowing(home, tmp_path / "m"))
    with pytest.raises(TcnfastError, match=OVERFLOW):
        window_scorer(model, "cpu", "fp32")(np.zeros((3, 200), np.uint8))


def test_logits_of_teachers_are_looked_at(home, tmp_path):
    folder = overflowing(home, tmp_path / "m")
    labels = load_model(folder).labels
    teachers = Teachers([folder], labels, 61, 32, "cpu", "fp32")
    codes = np.zeros((2, 61 + 2 * teachers.reach + 3 * 32), np.uint8)
    with pytest.raises(TcnfastError, match=OVERFLOW):
        teachers.scale_to([(codes, np.zeros((2, 4, len(labels)), np.uint8), None)])


EXPLODES = """
import sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from tcnfast import cli

def explode(optimiser, *_):
    for group in optimiser.param_groups:
        for weight in group["params"]:
            weight.data.fill_(float("nan"))

register_optimizer_step_post_hook(explode)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_last_step_that_explodes_ends_the_training(lesson, tmp_path):
    """The loss of the step was finite, its weights were not: validation never ended."""
    words = ["train", *data_words(lesson), *QUICK, "--epoch-steps", 1, "-o", tmp_path / "o", "-q"]
    process = subprocess.run(
        [sys.executable, "-c", EXPLODES, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    result = process.returncode, process.stdout, process.stderr
    fails(result, "the network after step 1: ", "NaN or infinite; lower --learning-rate")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("value", [*BAD.values(), -float("inf")])
def test_rankings_of_anything_end(value):
    rng = np.random.default_rng(0)
    score, truth = rng.normal(size=200).astype(np.float32), rng.random(200) < 0.3
    for rows in (slice(0, 1), slice(3, 90), slice(None)):
        bad = score.copy()
        bad[rows] = value
        ranking = Ranking.of(bad, truth)
        found = ranking.scores(np.ones((1, 1), np.int32))
        assert all(0 <= x[0] <= 1 for x in found.values())
        ap_and_auroc(bad, truth)
        ranking.calls(0.0, np.ones((1, 1), np.int32))
        ranking.precision_at(np.array([0.1, 1.0]))
        score_labels(["a"], bad[:, None], truth[:, None].astype(np.uint8))


def test_nan_ranks_last():
    truth = np.array([True, False, True, False])
    worst = np.float32([2, 1, -9, -9.5])
    lost = np.float32([2, 1, np.nan, np.nan])
    assert ap_and_auroc(lost, truth)[0] == pytest.approx(ap_and_auroc(worst, truth)[0], abs=0.1)
    assert json.dumps(ap_and_auroc(lost, truth)) != "[NaN, NaN]"
