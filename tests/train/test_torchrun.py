"""Training on two processes that torchrun starts is that of one process with the same batches, to
rounding, goes on in another number of processes, and fails in one line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.cli import QUICK, data_words
from support.engine import needs_engine
from support.ranks import in_threads
from support.scan import calling_model
from support.train import SHARED, TRAIN, VALID, before_each_step, new_model, shared_config

from tcnfast.base.errors import TcnfastError
from tcnfast.cli import main
from tcnfast.genome.labels import AMBIGUOUS
from tcnfast.model.model_folder import ModelFolder
from tcnfast.train import torchrun as processes
from tcnfast.train.fit import fit
from tcnfast.train.losses import batch_loss
from tcnfast.train.train_config import TrainConfig

TESTS = Path(__file__).parents[1]
pytestmark = needs_engine
slow = pytest.mark.slow  # programs that import everything anew


def torchrun(*words, processes=2):
    """What torchrun gives for a program or -m MODULE, with its words."""
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    launch = "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"
    return subprocess.run(
        [sys.executable, *launch, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def errors(run):
    return [line for line in run.stderr.splitlines() if line.startswith("tcnfast: error")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, lesson):
    """Everything that two processes trained, and how the program ended."""
    folder = tmp_path_factory.mktemp("shared")
    for rank in (0, 1):
        (folder / f"data{rank}").mkdir()
    words = ["train", *data_words(lesson), "-o", folder / "model", *QUICK]
    run = torchrun(TESTS / "shared_training.py", folder, *words)
    assert run.returncode == 0, run.stderr
    return folder, run


def alone(dataset, name, saved=None):
    """Gradients of the first step, state and losses of one process."""
    options, shape = SHARED[name]
    model, grads, losses = new_model(2, **shape), {}, []

    def keep(_):
        if not grads:
            grads.update({n: p.grad.clone() for n, p in model.named_parameters()})

    with before_each_step(keep):
        config = shared_config(options)
        for epoch in fit(model, dataset, TRAIN, VALID, config, "cpu", None, False, saved):
            losses.append(epoch.loss)
    return grads, model.state_dict(), torch.tensor(losses)


def check_close(found, wanted, share):
    """By tensor, of its largest number."""
    for name, tensor in wanted.items():
        if tensor.is_floating_point():
            off = (found[name] - tensor).abs().max()
            assert off <= share * tensor.abs().max().clamp_min(1e-6), f"{name}: {off}"


@pytest.mark.parametrize(
    "name, optimiser", [("plain", "adamw"), ("plain", "muon"), ("weight-norm", "adamw")]
)
def test_two_threads_train_as_one_process(dataset, name, optimiser):
    """What does not drop channels, for which each process needs a generator of its own."""
    options, shape = SHARED[name]
    options = options | dict(optimiser=optimiser, strands="both", strand_loss=0.1)
    options = options | dict(accumulate=2, mutate=0.05, hard=0.3)
    models = [new_model(2, **shape) for _ in range(3)]
    config = shared_config(options)

    def train(ranks):
        return fit(
            models[ranks.rank], dataset, TRAIN, VALID, config, "cpu", None, False, ranks=ranks
        )

    one, other = in_threads(2, train)
    whole = fit(models[2], dataset, TRAIN, VALID, config, "cpu", None, False)
    assert [epoch.loss for epoch in one] == [epoch.loss for epoch in other]
    for shared, epoch in zip(one, whole, strict=True):
        assert shared.loss == pytest.approx(epoch.loss, rel=1e-3)
    first, second, alone = (model.state_dict() for model in models)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    check_close(first, alone, 0.02)


@pytest.mark.parametrize("strands", ["one", "both", "mean"])
@pytest.mark.parametrize("taught", [False, True])
def test_shares_of_a_loss_add_up(strands, taught):
    """Also where one process has no label that is known."""
    config = TrainConfig(strands=strands, strand_loss=0.0 if strands == "one" else 0.3)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(8, 3, 5, generator=generator)
    targets = torch.randint(0, 3, (8, 5, 3), generator=generator).to(torch.uint8)
    targets[::2] = AMBIGUOUS
    lessons = torch.randn(8, 5, 3, generator=generator) if taught else None

    def of_rows(ranks):
        rows = ranks.rows
        own = None if lessons is None else lessons[rows]
        return batch_loss(logits[rows], targets[rows], None, config, own, ranks)

    whole = batch_loss(logits, targets, None, config, lessons)
    torch.testing.assert_close(sum(in_threads(2, of_rows)), whole)


def test_a_group_of_the_caller_is_left_alone(monkeypatch, tmp_path):
    import torch.distributed as dist

    for name, value in zip(processes.VARIABLES, ("0", "2", "localhost", "1"), strict=True):
        monkeypatch.setenv(name, value)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/x", rank=0, world_size=1)
    try:
        with pytest.raises(TcnfastError, match="a process group already"):
            with processes.joined("cpu"):
                pass
        assert dist.is_initialized()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    "words, line",
    [
        (["train", "--stpes", "3"], "--stpes"),
        (["train", "--norm", "none"], "norm 'none'"),
        (["train", "--config", "no.json"], "no.json"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said_once(
    words, line, monkeypatch, capsys, tmp_path
):
    """By the first process; of another command by each, for these are not of one training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    said = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
        said.append((code, capsys.readouterr().err))
    (code, first), (other, silent) = said
    assert line in first and code == other and code in (1, 2) and silent == ""
    with pytest.raises(SystemExit):
        main(["scan", "--stpes", "3"])
    assert "--stpes" in capsys.readouterr().err


@slow
def test_a_student_of_two_processes_is_that_of_one(run, lesson, tmp_path):
    """The whole command, with a teacher; a wrong option is said once."""
    calling_model(labels=["other", "CTCF@here", "MAX@here"]).save(tmp_path / "teacher")
    words = [*data_words(lesson), *QUICK, "--learning-rate", "0.001"]
    words += ["--teacher", tmp_path / "teacher", "--teacher-share", "0.7", "--temperature", "2"]
    ended = torchrun("-m", "tcnfast.train", *words, "-o", tmp_path / "two")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("each batch is shared by 2 processes") == 1
    code, _, err = run("train", *words, "-o", tmp_path / "one")
    assert code == 0, err
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    check_close(two, one, 0.02)
    one, two = (ModelFolder(tmp_path / name) for name in ("one", "two"))
    losses = [folder.epochs()["loss"].to_numpy() for folder in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert one.record["key"]["teachers"] == two.record["key"]["teachers"] != []
    wrong = torchrun("-m", "tcnfast.train", *words, "--stpes", "3")
    assert wrong.stderr.count("unrecognized arguments: --stpes") == 1


@slow
@pytest.mark.parametrize("name", SHARED)
def test_two_processes_train_as_one(shared, dataset, name):
    folder, _ = shared
    result = load_file(folder / f"{name}.result")
    grads, state, losses = alone(dataset, name)
    check_close({n: result[f"grad.{n}"] for n in grads}, grads, 1e-3)
    torch.testing.assert_close(result["loss"], losses, rtol=1e-3, atol=0)
    check_close({n: result[f"state.{n}"] for n in state}, state, 0.02)


@slow
@pytest.mark.parametrize("name", ["plain", "every-option"])
def test_one_process_goes_on_where_two_stopped(shared, dataset, name):
    folder, _ = shared
    _, state, losses = alone(dataset, name)
    early = folder / f"{name}.early"
    _, resumed, after = alone(dataset, name, early)
    torch.testing.assert_close(after, losses, rtol=1e-3, atol=0)
    check_close(resumed, state, 0.02)


@slow
def test_a_folder_trained_by_two_processes(shared, lesson):
    """One of them writes it; the others are silent."""
    folder, run = shared
    model = ModelFolder(folder / "model")
    assert model.labels == ["CTCF@here", "MAX@here", "other"]
    assert len(model.epochs()) == 2
    assert run.stderr.count("each batch is shared by 2 processes") == 1
    assert not list(folder.glob("*.partial"))
    assert [(folder / f"codes{rank}").read_text() for rank in (0, 1)] == ["0 1 1 1"] * 2


@slow
@pytest.mark.parametrize(
    "how, line",
    [("raise", "genome.fa: Input/output error"), ("kill", "ended without a word")],
)
def test_all_end_where_one_fails(run, lesson, tmp_path, how, line):
    """One line says why, and what is finished is gone on with, here in one process."""
    words = ["train", *data_words(lesson), "-o", tmp_path / "model", *QUICK]
    ended = torchrun(TESTS / "failing_training.py", how, *words)
    assert ended.returncode == 1
    said = errors(ended)
    # of a process that is killed torchrun may know first, and end the others
    assert len(said) == 1 or (how == "kill" and not said), said
    assert all(line in text for text in said)
    assert "what is finished is kept" in ended.stderr
    code, _, err = run(*words, "--resume")
    assert code == 0 and "going on after step 3 of 6" in err
    assert "began in 2 processes and goes on in 1 process" in err


@slow
def test_what_cannot_be_shared_is_said_once(shared):
    _, run = shared
    uneven, device, there = errors(run)
    assert "--batch-size 9: 2 processes cannot share it evenly" in uneven
    assert "--device cuda:0: the processes of torchrun would share it" in device
    assert "exists" in there
    assert "Traceback" not in run.stderr
