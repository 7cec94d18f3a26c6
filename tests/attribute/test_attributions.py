"""Integrated gradients, the corrected gradient, their baselines, and the files they are kept in."""

import numpy as np
import pytest
import torch
from support.models import random_model

from tcnfast.attribute.attributions import Attributions, projected
from tcnfast.attribute.integrated_gradients import (
    baselines,
    corrected_gradient,
    integrated_gradients,
)
from tcnfast.attribute.networks import Networks, one_hot
from tcnfast.base.errors import TcnfastError
from tcnfast.model.ensemble import Ensemble

SHAPES = {
    "plain": dict(first_kernel=7, channels=9),
    "identity-residual-causal": dict(channels=4, kernel_size=2, alignment="causal"),
    "weight-norm": dict(norm="weight", blocks=3),
    "one-block": dict(blocks=1),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def model(request):
    return random_model(**request.param)


@pytest.fixture
def windows():
    return lambda model, n=3: np.random.default_rng(2).integers(
        0, 4, (n, model.receptive_field), np.uint8
    )


def plain_ig(model, codes, label, starts, steps):
    """In float64, by definition, both strands: mean gradient (n, 4, L) of midpoints."""
    model = model.double()
    x = one_hot(torch.from_numpy(codes)).double()
    total = torch.zeros_like(x)
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
        point = (starts + node * (x - starts)).requires_grad_()
        logit = (model(point)[:, label] + model(point.flip(1, 2))[:, label]) / 2
        total += share * torch.autograd.grad(logit.sum(), point)[0]
    model.float()
    return total - (starts * total).sum(1, keepdim=True)


@pytest.mark.parametrize("kind", ["zeros", "gc"])
def test_integrated_gradients_are_what_they_are_defined_to_be(model, windows, kind):
    codes = windows(model)
    codes[0, 5:9] = 4
    networks = Networks(model, device="cpu")
    got = integrated_gradients(networks, codes, [1], baseline=kind, steps=7)[0]
    starts = torch.from_numpy(baselines(codes, kind)[:, 0]).double()
    wanted = plain_ig(model, codes, 1, starts, 7).numpy()
    np.testing.assert_allclose(got.hypothetical, wanted, atol=1e-4)
    assert np.abs(wanted).max() > 0.01


@pytest.mark.parametrize("precision", ["fp32", None])
def test_the_ways_of_other_devices_give_the_same(windows, precision):
    model = random_model(first_kernel=7)
    networks, codes = Networks(model, device="cpu"), windows(model)
    here = (
        integrated_gradients(networks, codes, [0], steps=5)[0],
        corrected_gradient(networks, codes, 0),
    )
    networks.paths, networks.precision = None, precision
    there = (
        integrated_gradients(networks, codes, [0], steps=5)[0],
        corrected_gradient(networks, codes, 0),
    )
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one.hypothetical, other.hypothetical, atol=1e-5)


@pytest.mark.parametrize("kind", ["zeros", "gc", "shuffles"])
def test_with_more_steps_the_sum_is_complete(windows, kind):
    model = random_model(first_kernel=7, channels=9)
    networks, codes = Networks(model, device="cpu"), windows(model)
    few, many = (
        integrated_gradients(networks, codes, [2], baseline=kind, steps=steps, shuffles=3)[0]
        for steps in (3, 200)
    )
    assert np.abs(many.gap).max() < 0.02 < np.abs(few.gap).max()
    start = torch.from_numpy(baselines(codes, kind, 3)).flatten(0, 1)
    from_logit = networks.logits(start)[:, 2].reshape(len(codes), -1).mean(1).numpy()
    total = projected(many.hypothetical, codes).sum(1)
    np.testing.assert_allclose(total + many.gap, many.logit - from_logit, atol=1e-4)


def test_an_ensemble_is_the_mean_of_its_members(windows):
    members = [random_model(channels=6), random_model()]
    codes = windows(members[0])
    whole, *parts = (
        integrated_gradients(Networks(m, device="cpu"), codes, [1], steps=4)[0]
        for m in (Ensemble(members), *members)
    )
    mean = (parts[0].hypothetical + parts[1].hypothetical) / 2
    np.testing.assert_allclose(whole.hypothetical, mean, atol=1e-5)


def test_the_corrected_gradient(model, windows):
    codes = windows(model)
    got = corrected_gradient(Networks(model, strand="+", device="cpu"), codes, 0)
    x = one_hot(torch.from_numpy(codes)).requires_grad_()
    gradient = torch.autograd.grad(model(x)[:, 0].sum(), x)[0].numpy()
    np.testing.assert_allclose(
        got.hypothetical, gradient - gradient.mean(1, keepdims=True), atol=1e-5
    )
    np.testing.assert_allclose(got.logit, model(x)[:, 0].detach().numpy(), atol=1e-5)


def test_captum_gives_the_same(windows):
    attr = pytest.importorskip("captum.attr")
    model = random_model(first_kernel=7, channels=9)
    codes = windows(model)
    x, start = one_hot(torch.from_numpy(codes)), torch.from_numpy(baselines(codes, "gc")[:, 0])
    networks = Networks(model, strand="+", device="cpu")
    got = integrated_gradients(networks, codes, [1], baseline="gc", steps=30)[0]
    theirs = attr.IntegratedGradients(model).attribute(x, start, target=1, n_steps=30)
    np.testing.assert_allclose(
        projected(got.hypothetical, codes), theirs.sum(1).detach().numpy(), atol=1e-4
    )


def test_deep_lift_shap_sees_every_relu_of_the_plain_form(windows):
    """Its sum is complete to rounding only where each ReLU was given the rescale rule."""
    tangermeme = pytest.importorskip("tangermeme.deep_lift_shap")
    model = random_model(first_kernel=7, channels=9)
    x = one_hot(torch.from_numpy(windows(model)))
    start = one_hot(torch.from_numpy(windows(model, 4)[1:])).unsqueeze(1)
    how = dict(target=1, references=start, warning_threshold=1e-3, hypothetical=False)
    shares = tangermeme.deep_lift_shap(model, x, device="cpu", **how)
    with torch.no_grad():
        gained = model(x)[:, 1] - model(start[:, 0])[:, 1]
    # shares stand on the bases that are there: what the reference's bases lose is in them
    assert shares.shape == x.shape
    torch.testing.assert_close(shares.sum((1, 2)), gained, atol=1e-3, rtol=0)


def test_baselines_leave_n_and_keep_what_they_say():
    codes = np.array([[1, 2, 1, 0, 4, 3, 2, 0], [4] * 8], np.uint8)
    assert not baselines(codes, "zeros").any()
    gc = baselines(codes, "gc")[:, 0]
    np.testing.assert_allclose(gc[0, :, 0], [3 / 14, 4 / 14, 4 / 14, 3 / 14], rtol=1e-6)
    assert not gc[0, :, 4].any() and not gc[1].any()
    long = np.random.default_rng(0).integers(0, 4, (2, 300), np.uint8)
    shuffles = baselines(long, "shuffles", 4)
    assert shuffles.shape == (2, 4, 4, 300) and shuffles.dtype == np.float32
    assert not np.array_equal(shuffles[0, 0], shuffles[0, 1])
    for shuffle in shuffles[0].argmax(1):
        pairs = np.bincount(4 * long[0, :-1].astype(int) + long[0, 1:], minlength=16)
        assert np.array_equal(np.bincount(4 * shuffle[:-1] + shuffle[1:], minlength=16), pairs)
    assert np.array_equal(baselines(long[1:], "shuffles", 4)[0], shuffles[1])  # alone or not
    with pytest.raises(TcnfastError, match="baseline 'none': must be one of zeros, gc, shuffles"):
        baselines(codes, "none")


def make_attributions(n=3, width=7):
    rng = np.random.default_rng(0)
    chrom, start = np.array(["chr1", "chr10", "chr1"][:n], object), np.array([-2, 5, 900][:n])
    codes = rng.integers(0, 5, (n, width), np.uint8)
    hypothetical = rng.standard_normal((n, 4, width), np.float32)
    logit = rng.standard_normal(n, np.float32)
    return Attributions("CTCF@K562", "ig", chrom, start, codes, hypothetical, logit)


def test_attributions_survive_their_file(tmp_path):
    before = make_attributions()
    before.save(tmp_path / "x.npz")
    after = Attributions.open(tmp_path / "x.npz")
    assert (after.label, after.method) == ("CTCF@K562", "ig") and len(after) == 3
    assert after.chrom.tolist() == ["chr1", "chr10", "chr1"] and after.chrom.dtype.kind == "U"
    for name in ("start", "codes", "hypothetical", "logit", "projected", "centre"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    row, at = 1, int(np.flatnonzero(before.codes[1] < 4)[0])
    assert after.projected[row, at] == before.hypothetical[row, before.codes[row, at], at]
    assert not after.projected[before.codes == 4].any()


def test_other_files_are_no_attributions(tmp_path):
    with pytest.raises(TcnfastError, match="a.npz: no such file"):
        Attributions.open(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(TcnfastError, match="a.npz: no attributions of tcnfast"):
        Attributions.open(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", label="x", start=np.zeros(3))
    with pytest.raises(TcnfastError, match="no attributions of tcnfast"):
        Attributions.open(tmp_path / "a.npz")
    whole = vars(make_attributions()) | {"logit": np.zeros(2, np.float32)}
    np.savez(tmp_path / "a.npz", **whole | {"chrom": np.array(["chr1"] * 3)})
    with pytest.raises(TcnfastError, match=r"logit is \(2,\), not \(3,\)"):
        Attributions.open(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("logit", np.nan, "logit holds NaN or infinity"),
        ("hypothetical", np.inf, "hypothetical holds NaN or infinity"),
        ("codes", 200, "codes hold 200, and 4 is the largest"),
        ("start", 0.5, "start holds float64"),
    ],
)
def test_numbers_in_a_file_that_are_none_are_refused(tmp_path, name, value, words):
    make_attributions().save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as stored:
        arrays = dict(stored)
    arrays[name] = arrays[name].astype(np.result_type(arrays[name], value)).copy()
    arrays[name].flat[0] = value
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(TcnfastError, match=f"x.npz: {words}"):
        Attributions.open(tmp_path / "x.npz")
