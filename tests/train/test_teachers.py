"""Learning from trained networks: their logits, the loss, and ``tcnfast train --teacher``."""

import json
from math import exp, log

import numpy as np
import pytest
import torch
from support.cli import QUICK, data_words, fails, refused
from support.scan import files_in
from support.train import MOTIFS, SHORT, TRAIN, VALID, new_model, score

from tcnfast.base.errors import TcnfastError
from tcnfast.engines.plan import Plan
from tcnfast.genome.labels import AMBIGUOUS, BOUND
from tcnfast.model.ensemble import Ensemble
from tcnfast.model.load_model import load_model
from tcnfast.train.fit import fit
from tcnfast.train.losses import batch_loss
from tcnfast.train.teachers import Teachers
from tcnfast.train.train_config import TrainConfig
from tcnfast.train.training import Training

STEPS = SHORT["tile_steps"]


def saved(folder, *models, name="teacher"):
    model = Ensemble(models) if len(models) > 1 else models[0]
    model.save(folder / name)
    return folder / name


def teachers_of(*folders, labels=tuple(MOTIFS), rf=137):
    return Teachers(folders, list(labels), rf, 32, "cpu", "fp32")


@pytest.fixture(scope="module")
def teacher(dataset, tmp_path_factory):
    """The folder of a network that knows both motifs."""
    model = new_model(5)
    config = TrainConfig(**SHORT | dict(steps=250, epoch_steps=125, tile_steps=16))
    fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    assert score(model, dataset).macro("ap") > 0.3
    return saved(tmp_path_factory.mktemp("teacher"), model)


# the loss


@pytest.mark.parametrize("share, temperature", [(None, None), (0.3, 2.0), (1.0, 1.0), (0.0, 3.0)])
@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_by_hand(share, temperature, soft):
    torch.manual_seed(3)
    logits, taught = 3 * torch.randn(4, 3, 5), 3 * torch.randn(4, 5, 3)
    targets = torch.randint(0, 3, (4, 5, 3), dtype=torch.uint8)
    cover = torch.where(targets == BOUND, torch.rand(4, 5, 3), 0) if soft else None
    config = TrainConfig(teacher_share=share, temperature=temperature)
    loss = batch_loss(logits, targets, cover, config, taught)
    share, t = (0.5 if share is None else share), temperature or 1.0
    total = 0.0

    def bce(z, y):
        p = 1 / (1 + exp(-z))
        return -y * log(p) - (1 - y) * log(1 - p)

    for n, step, label in np.ndindex(4, 5, 3):
        z, target = float(logits[n, label, step]), targets[n, step, label]
        weight = 1.0 if target == AMBIGUOUS else share
        soft_target = 1 / (1 + exp(-float(taught[n, step, label]) / t))
        total += weight * t * t * bce(z / t, soft_target)
        y = float(cover[n, step, label]) if soft else float(target == BOUND)
        total += 0.0 if target == AMBIGUOUS else (1 - share) * bce(z, y)
    assert loss.item() == pytest.approx(total / 60, rel=2e-5)


def test_of_the_mean_of_strands_the_teachers_word_is_on_the_first_half():
    torch.manual_seed(4)
    logits, taught = torch.randn(4, 3, 5), torch.randn(4, 5, 3)
    targets = torch.full((4, 5, 3), AMBIGUOUS, dtype=torch.uint8)
    config = TrainConfig(strands="mean", teacher_share=1.0)
    loss = batch_loss(logits, targets, None, config, taught)
    mean = (logits[:2] + logits[2:].flip(-1)) / 2
    alone = batch_loss(mean, targets[:2], None, TrainConfig(teacher_share=1.0), taught[:2])
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    assert loss.item() > 0


# the teachers


def test_logits_are_the_mean_over_networks_of_both_strands(tmp_path):
    """One looks further, one less far than the student; one has more labels in another order, one
    is an ensemble, whose members count one by one."""
    names = ["more@x", *reversed(MOTIFS)]
    wide = new_model(1, labels=names, blocks=6).eval()
    pair = [new_model(seed, blocks=4).eval() for seed in (2, 3)]
    folders = saved(tmp_path, wide, name="wide"), saved(tmp_path, *pair, name="pair")
    teachers = teachers_of(*folders)
    assert teachers.networks == 3 and teachers.reach == (wide.receptive_field - 137) // 2
    bases = 137 + 32 * (STEPS - 1) + 2 * teachers.reach
    codes = torch.randint(0, 5, (6, bases), dtype=torch.uint8)
    want = 0.0
    for model in (wide, *pair):
        plan = Plan(model, "cpu", "fp32", 32, strand="both")
        trim = (bases - model.receptive_field - 32 * (STEPS - 1)) // 2
        logits = plan(codes[:, trim : bases - trim].contiguous())
        want = want + logits[..., [model.labels.index(label) for label in MOTIFS]] / 3
    torch.testing.assert_close(teachers.logits(codes, STEPS), want, rtol=1e-5, atol=1e-6)


def scored(folder, **ap):
    """The folder with a table of validation scores as ``tcnfast train`` leaves it."""
    rows = "".join(f"{label}\t{value}\n" for label, value in ap.items())
    (folder / "scores.valid.tsv").write_text("label\tAP\n" + rows.replace("_", "@"))
    return folder


def test_below_the_floor_a_teacher_is_silent_on_that_label(tmp_path):
    """The mean of a label is over the networks that know it, each of an ensemble counting alike;
    where no teacher has a score all speak."""
    models = [new_model(seed).eval() for seed in (1, 2, 3)]
    one = scored(saved(tmp_path, models[0], name="one"), TWO_x=0.10, ONE_x="nan")
    pair = scored(saved(tmp_path, *models[1:], name="pair"), ONE_x="nan", TWO_x=0.21)
    teachers = Teachers([one, pair], list(MOTIFS), 137, 32, "cpu", "fp32", floor=0.5)
    codes = torch.randint(0, 5, (6, 137 + 32 * (STEPS - 1)), dtype=torch.uint8)
    said = torch.stack([Plan(model, "cpu", "fp32", 32, strand="both")(codes) for model in models])
    first, second = (list(MOTIFS).index(label) for label in ("ONE@x", "TWO@x"))
    found = teachers.logits(codes, STEPS)
    close = dict(rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[..., first], said.mean(0)[..., first], **close)
    torch.testing.assert_close(found[..., second], said[1:].mean(0)[..., second], **close)
    assert teachers.silent == [("one", ["TWO@x"]), ("pair", [])]
    low = Teachers([one, pair], list(MOTIFS), 137, 32, "cpu", "fp32", floor=0.4)
    torch.testing.assert_close(low.logits(codes, STEPS), said.mean(0), **close)
    (pair / "scores.valid.tsv").unlink()
    with pytest.raises(TcnfastError, match=r"pair.scores\.valid\.tsv"):
        Teachers([one, pair], list(MOTIFS), 137, 32, "cpu", "fp32", floor=0.5)


def test_a_teacher_of_other_labels_and_one_twice_are_refused(tmp_path):
    folder = saved(tmp_path, new_model(labels=["ONE@x", "other"]))
    with pytest.raises(TcnfastError, match=r"teacher .*: lacks 1 of 2 labels, 'TWO@x' among them"):
        teachers_of(folder)
    folder = saved(tmp_path, new_model(), name="b")
    with pytest.raises(TcnfastError, match="is given twice"):
        teachers_of(folder, tmp_path / "." / "b")


def test_logits_are_scaled_to_the_tiles_that_training_draws(dataset, teacher, tmp_path):
    """A bundled model is calibrated to the genome, where bound windows are rare."""
    model = load_model(teacher)
    with torch.no_grad():
        model.head.weight.mul_(0.25)
        model.head.bias.sub_(6.0)
    teachers = teachers_of(saved(tmp_path, model))
    config = TrainConfig(**SHORT | dict(batch_size=64, tile_steps=16))
    training = Training(new_model(1), dataset, TRAIN, VALID, config, "cpu", teachers=teachers)
    codes, targets, _ = training.sampler.batch(config.steps - 1)
    raw = Plan(model.eval(), "cpu", "fp32", 32, strand="both")(codes).numpy()
    said = torch.sigmoid(teachers.logits(torch.from_numpy(codes), 16)).numpy()
    for label in range(2):
        known = targets[..., label] != AMBIGUOUS
        rate = (targets[..., label] == BOUND)[known].mean()
        assert np.abs(said[..., label][known].mean() - rate) < 0.3 * rate
        assert (1 / (1 + np.exp(-raw[..., label][known]))).mean() < 0.1 * rate
    slope, _ = teachers.scaling
    assert (slope > 1.5).all()


# training


def taught(dataset, teacher, share, labels, steps=250):
    """A student of a dataset whose labels are as given."""
    student = new_model(8, labels=labels)
    config = TrainConfig(**SHORT | dict(steps=steps, epoch_steps=steps, tile_steps=16))
    config = type(config)(**vars(config) | dict(teacher_share=share))
    teachers = Teachers([teacher], labels, student.receptive_field, 32, "cpu", "fp32")
    fit(
        student,
        dataset.select(labels),
        TRAIN,
        VALID,
        config,
        "cpu",
        None,
        False,
        None,
        None,
        teachers=teachers,
    )
    return student


def test_a_student_learns_what_only_its_teacher_knows(dataset, teacher):
    """All of the data's labels are exchanged; the teacher knows better, and has all the weight."""
    one, two = MOTIFS
    swapped = dataset.select([one, two])
    swapped.bound.label[:] = [{one: two, two: one}[label] for label in swapped.bound.label]
    try:
        student = taught(swapped, teacher, 1.0, [one, two])
    finally:
        swapped.bound.label[:] = [{one: two, two: one}[label] for label in swapped.bound.label]
    scores = score(student, dataset)
    assert (scores.ap > 5 * scores.chance).all()


# the command

TEACH = QUICK[:2] + ["--blocks", 4] + QUICK[4:]


@pytest.fixture(scope="module")
def two(lesson, tmp_path_factory):
    """Two short trainings of other shapes, as teachers."""
    from tcnfast import cli

    folder, folders = tmp_path_factory.mktemp("two"), []
    for name, more in (("a", TEACH), ("b", [*QUICK, "--symmetric", "--seed", 3])):
        words = ["train", *data_words(lesson), *more, "-o", folder / name, "-q"]
        assert cli.main([str(word) for word in words]) == 0
        folders.append(folder / name)
    return folders


def test_two_teachers_one_student_and_the_card_says_so(run, lesson, two, tmp_path):
    more = tmp_path / "more.fa"
    more.write_text(">new\n" + "ACGGTCATTG" * 400 + "\n")
    words = ["train", *data_words(lesson), *QUICK, "--symmetric", "--teacher", *two]
    words += ["--teacher-share", 0.7, "--teacher-floor", 0.4]
    code, _, err = run(*words, "--unlabelled", more, "-o", "m")
    assert code == 0, err
    assert "learning from the labels and from 2 networks" in err
    card = (tmp_path / "m" / "README.md").read_text()
    assert "## Teachers" in card and "have 0.7 of the loss" in card and "more.fa" in card
    assert "validation is at least 0.4 of the best one's" in card
    for name in ("- `a` (SHA-256", "- `b` (SHA-256"):
        assert name in card
    record = json.loads((tmp_path / "m" / "run.json").read_text())
    assert "teacher_share" in json.dumps(record)
    model = load_model(tmp_path / "m")
    assert model.config.symmetric and set(model.thresholds) == set(model.labels)


def test_another_teacher_makes_another_student(run, lesson, two, tmp_path):
    for name, more in (("x", two[:1]), ("y", two[1:]), ("z", None)):
        flags = ["--teacher", *more] if more else []
        assert run("train", *data_words(lesson), *QUICK, *flags, "-o", name)[0] == 0
    states = [load_model(tmp_path / name).state_dict() for name in "xyz"]
    weights = [state["head.weight"] for state in states]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_it_resumes_to_the_same_bytes(dataset, teacher, tmp_path):
    config = TrainConfig(**SHORT)
    student = dict(labels=list(MOTIFS), channels=16)

    def trained(path, stop=False):
        model, seen = new_model(2, **student), []

        def on_epoch(*_):
            seen.append(1)
            if stop and len(seen) == 2:  # the first epoch is on disk
                raise KeyboardInterrupt

        teachers = Teachers([teacher], list(MOTIFS), model.receptive_field, 32, "cpu", "fp32")
        try:
            fit(
                model,
                dataset,
                TRAIN,
                VALID,
                config,
                "cpu",
                on_epoch,
                False,
                path,
                teachers=teachers,
            )
        except KeyboardInterrupt:
            return None
        return model.state_dict()

    whole = trained(tmp_path / "whole")
    assert trained(tmp_path / "cut", stop=True) is None
    again = trained(tmp_path / "cut")
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


def test_resume_with_another_teacher_is_refused(run, lesson, two, tmp_path):
    words = ["train", *data_words(lesson), *QUICK, "-o", "m"]
    assert run(*words, "--teacher", two[0])[0] == 0
    before = files_in(tmp_path / "m")
    code, _, err = run(*words, "--teacher", two[1], "--resume")
    assert code != 0 and "Traceback" not in err
    assert files_in(tmp_path / "m") == before


def test_options_that_do_not_go_together(run, lesson, two, tmp_path):
    words = ["train", *data_words(lesson), *QUICK, "-o", "m"]
    refused(run(*words, "--temperature", 2), "--temperature: needs --teacher")
    refused(run(*words, "--teacher-share", 0.5), "--teacher-share: needs --teacher")
    refused(run(*words, "--teacher-floor", 0.5), "--teacher-floor: needs --teacher")
    refused(run(*words, "--unlabelled", "x.fa"), "--unlabelled: needs --teacher")
    teacher = ["--teacher", two[0]]
    refused(run(*words, *teacher, "--teacher-share", 1.5), "must be within 0 and 1")
    refused(run(*words, *teacher, "--teacher-floor", 1.5), "must be within 0 and 1")
    refused(run(*words, *teacher, "--temperature", 0), "must be above 0")
    both = ["--unlabelled", "x.fa", "--strands", "both"]
    refused(run(*words, *teacher, *both), "--unlabelled: needs --strands one")
    fails(run(*words, "--teacher", "nowhere"), "nowhere")
    assert list(tmp_path.iterdir()) == []
