"""Wavelet networks of which the classifier alone is fitted: to which numbers, how strongly, what a
stop costs, and what they are in a study."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from support.cli import fails
from support.wavelet import LABEL, LENGTH, random_codes, window_set

from tcnfast.base.run_folder import RECORD
from tcnfast.genome.codes import reverse_complement
from tcnfast.model.metrics import score_labels
from tcnfast.windows import frozen_network, kept_features
from tcnfast.windows import study as run_study
from tcnfast.windows.architectures import build, window_scorer
from tcnfast.windows.frozen_network import STRENGTHS, FrozenWaveletNetwork
from tcnfast.windows.kept_features import Work
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_fit import fit_windows
from tcnfast.windows.window_run import open_window_model
from tcnfast.windows.window_set import WindowSet

pytest.importorskip("monai", reason="the extra wavelet is not installed")

SHAPE = {"depth": 10, "width": 8, "size": 64, "trainable": "head"}
CONFIG = WindowConfig(precision="fp32")


def frozen(**shape):
    torch.manual_seed(5)
    return build("wavelet", [LABEL], LENGTH, "eiip", SHAPE | shape)


def parts(n=128):
    """Windows of many C, or not, to train on and to choose by."""
    found = []
    for part, seed in enumerate((1, 2)):
        rng = np.random.default_rng(seed)
        bound = np.arange(n) % 2 == 0
        codes = rng.integers(0, 4, (n, LENGTH)).astype(np.uint8)
        codes[rng.random((n, LENGTH)) < 0.8 * bound[:, None]] = 1
        found.append(window_set(codes, bound[:, None], part))
    return found


def features(model, codes):
    """float32 (n, channels), of one strand."""
    with torch.no_grad():
        return model.features(model.images(torch.from_numpy(codes.copy()))).numpy()


@pytest.mark.parametrize("faithful", [False, True])
def test_the_classifier_is_a_logistic_regression_chosen_on_validation(faithful):
    (train, valid), model = parts(), frozen(faithful=faithful)
    logits, earlier = model.fit(train, valid, CONFIG)
    assert isinstance(model, FrozenWaveletNetwork) and earlier == 0
    mean = [
        features(model, x.codes)
        if faithful
        else (features(model, x.codes) + features(model, reverse_complement(x.codes))) / 2
        for x in (train, valid)
    ]
    scale = mean[0].std(0)
    assert (scale > 1e-3 * scale.max()).all()
    inputs = [(x - mean[0].mean(0)) / scale for x in mean]
    merits, found = [], []
    for strength in STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(inputs[0], train.labels[:, 0])
        found.append(fitted.decision_function(inputs[1]))
        scores = score_labels([LABEL], found[-1][:, None].astype(np.float32), valid.labels)
        merits.append(scores.macro("ap"))
    near = [i for i, want in enumerate(found) if np.allclose(logits[:, 0], want, atol=5e-3)]
    assert near and merits[near[-1]] > max(merits) - 1e-4 > min(merits)
    got = window_scorer(model, "cpu", "fp32")(valid.codes)
    np.testing.assert_allclose(got, logits, rtol=1e-3, atol=2e-3)
    assert score_labels([LABEL], got, valid.labels).macro("auroc") > 0.65


def test_nothing_of_the_trunk_learns_and_no_batch_decides():
    (train, valid), model = parts(), frozen(faithful=True)
    model.fit(train, valid, CONFIG)
    assert not any(p.requires_grad for p in model.trunk.parameters())
    before = {name: x.clone() for name, x in model.trunk.state_dict().items()}
    model.train()
    codes = torch.from_numpy(valid.codes[:8])
    with torch.no_grad():
        torch.testing.assert_close(model(codes)[:2], model(codes[:2]), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(x, before[name]) for name, x in model.trunk.state_dict().items())


def test_channels_that_say_nothing_get_no_weight(monkeypatch):
    (train, valid), model = parts(), frozen()
    rest = FrozenWaveletNetwork.mean_features

    def silent(self, codes, bf16):
        found = rest(self, codes, bf16)
        found[:, 0] = 0.5
        found[:, 1] = 1e-7 * found[:, 2]
        return found

    monkeypatch.setattr(FrozenWaveletNetwork, "mean_features", silent)
    model.fit(train, valid, CONFIG)
    weight = model.head.weight[0]
    assert not weight[:2].any() and (weight[2:] != 0).all()


class Stop(Exception):
    pass


@pytest.fixture
def stopping(monkeypatch):
    """stopping(n): the n-th part of features that is computed stops the fit; how many were is
    counted in the list that it returns."""
    whole = FrozenWaveletNetwork.mean_features

    def arrange(n):
        computed = []

        def compute(self, codes, bf16):
            if len(computed) + 1 == n:
                raise Stop
            computed.append(len(codes))
            return whole(self, codes, bf16)

        monkeypatch.setattr(FrozenWaveletNetwork, "mean_features", compute)
        return computed

    return arrange


def test_a_fit_that_was_stopped_goes_on(tmp_path, stopping):
    train, valid = parts()
    want = frozen()
    want.fit(train, valid, CONFIG)
    work = Work(tmp_path / "features")
    assert not work.is_begun()
    stopping(4)
    with pytest.raises(Stop):
        frozen().fit(train, valid, CONFIG, work)
    assert work.is_begun()
    computed, model = stopping(None), frozen()
    _, earlier = model.fit(train, valid, CONFIG, work)
    total = len(train) + len(valid)
    assert sum(computed) == total - 3 * kept_features.PART and earlier > 0
    assert torch.equal(model.head.weight, want.head.weight)
    assert torch.equal(model.head.bias, want.head.bias)


def test_seconds_of_a_stopped_fit_are_counted(tmp_path, monkeypatch):
    train, valid = parts(40)
    work = Work(tmp_path / "features")
    fit_windows(frozen(), train, valid, CONFIG, "cpu", work=work)
    for path in work.folder.iterdir():
        found = dict(np.load(path))
        np.savez(path, features=found["features"], seconds=1000.0)
    again = fit_windows(frozen(), train, valid, CONFIG, "cpu", work=work)
    assert 2000 < again.step_cpu_seconds < 2100 and 2000 < again.cpu_seconds < 2100


@pytest.fixture
def folder(tmp_path):
    """A window set of all parts in tmp_path/set."""
    made = [*parts(), window_set(parts()[1].codes[::-1].copy(), parts()[1].labels[::-1].copy(), 2)]
    arrays = {
        name: np.concatenate([getattr(x, name) for x in made])
        for name in ("codes", "labels", "part", "kind", "chrom", "start")
    }
    WindowSet("at", [LABEL], chroms=[], **arrays).save(tmp_path / "set")
    return tmp_path


def test_the_command_goes_on_with_resume(folder, run, stopping):
    words = ["windows", "train", "set", "--arch", "wavelet", "--mapping", "eiip", "--device", "cpu"]
    words += ["--precision", "fp32", "--shape", json.dumps(SHAPE)]
    assert run(*words, "-o", "want")[0] == 0
    stopping(3)
    assert run(*words, "-o", "out")[0] != 0
    fails(run(*words, "-o", "out"), "was left by an unfinished run; give --resume to go on with it")
    fails(run(*words, "-o", "out", "--seed", 7, "--resume"), "with other inputs or settings")
    computed = stopping(None)
    code, _, err = run(*words, "-o", "out", "--resume")
    assert code == 0, err
    assert sum(computed) == 256 - 2 * kept_features.PART
    files = [(folder / name / "model.safetensors").read_bytes() for name in ("want", "out")]
    assert files[0] == files[1]
    assert not (folder / "out.partial").exists()
    opened, codes = open_window_model(folder / "out"), random_codes(3).numpy()
    scores = [window_scorer(opened, "cpu", "fp32")(x) for x in (codes, reverse_complement(codes))]
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-4)


def test_a_study_goes_on_inside_a_training(folder, stopping):
    study = {
        "sets": {"at": {"windows": "set"}},
        "models": {
            "frozen": {"arch": "wavelet", "mapping": "eiip", "learning_rate": 1, "shape": SHAPE}
        },
        "grids": [{"sets": ["at"], "models": ["frozen"], "seeds": [0]}],
        "training": {"precision": "fp32"},
        "reference": "frozen",
    }
    (folder / "study.json").write_text(json.dumps(study))
    stopping(3)
    with pytest.raises(Stop):
        run_study(folder / "study.json", folder / "out", device="cpu")
    computed = stopping(None)
    run_study(folder / "study.json", folder / "out", device="cpu")
    assert computed[0] == kept_features.PART
    record = json.loads((folder / "out/cells/at/frozen/seed0" / RECORD).read_text())
    assert record["best_epoch"] == 1 and record["epochs"][0]["auroc"] > 0.65
    # other settings: what was kept is not theirs
    stopping(3)
    study["models"]["frozen"]["mapping"] = "integer"
    study["grids"][0]["seeds"] = [1]
    (folder / "study.json").write_text(json.dumps(study))
    with pytest.raises(Stop):
        run_study(folder / "study.json", folder / "out", device="cpu")
    study["models"]["frozen"]["mapping"] = "eiip"
    (folder / "study.json").write_text(json.dumps(study))
    computed = stopping(None)
    run_study(folder / "study.json", folder / "out", device="cpu")
    assert sum(computed) >= 256


def test_a_label_of_one_class_is_refused():
    train, valid = parts(40)
    one = window_set(train.codes, np.ones((40, 1)))
    with pytest.raises(frozen_network.TcnfastError, match="needs bound and unbound windows"):
        frozen().fit(one, valid, CONFIG)
