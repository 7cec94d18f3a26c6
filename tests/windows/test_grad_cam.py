"""Grad-CAM of wavelet networks: captum's maps, the planted repeat, both strands, the article's way,
and the command."""

import numpy as np
import pytest
import torch
from support.cli import fails
from support.scan import calling_model, read_rows, write_fasta
from support.wavelet import LABEL, LENGTH, MOTIF, SHAPE, random_codes

from tcnfast.attribute.attributions import Attributions
from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import N, reverse_complement
from tcnfast.windows.grad_cam import GradCam, class_map
from tcnfast.windows.wavelet_network import WaveletNetwork
from tcnfast.windows.window_run import save_window_model

pytest.importorskip("monai", reason="the extra wavelet is not installed")

TINY = dict(depth=18, width=4, size=64)


def tiny(labels=("A", "B"), **shape):
    torch.manual_seed(5)
    model = WaveletNetwork(list(labels), LENGTH, **{**TINY, **shape})
    with torch.no_grad():
        model.head.weight.normal_(std=0.5)
    return model.eval()


def profiles(model, codes, label=0, **how):
    """float32 (n, L): what Grad-CAM says of the bases."""
    return GradCam(model, device="cpu", **how).explain(codes, [label])[0].hypothetical.sum(1)


LITE0 = dict(depth=None, width=None, backbone="efficientnet-lite0", weights="random")


@pytest.mark.parametrize(
    "shape, names",
    [
        ({}, ("layer4.1", "layer3.0", "layer2")),
        (LITE0, ("layer4.5", "layer3.0", "layer2")),
        (LITE0 | {"trainable": "head"}, ("layer4.5", "layer4.0", "layer2")),
    ],
)
def test_maps_are_captum_s(shape, names):
    captum = pytest.importorskip("captum.attr")
    model, codes = tiny(**shape), random_codes(3, LENGTH)
    images, highest = model.images(codes), []
    for name in names:
        theirs = captum.LayerGradCam(
            lambda x: model.outputs(x, through=True), model.trunk.get_submodule(name)
        )
        got = GradCam(model, (name,), "+", "cpu")._maps(codes, [0, 1])[0]
        for label in (0, 1):
            want = theirs.attribute(images.requires_grad_(), target=label, relu_attributions=True)[
                :, 0
            ].detach()
            torch.testing.assert_close(got[label][0], want)
            highest.append(float(want.max()))
    assert sum(x > 0 for x in highest) >= 4  # of 6; some maps are below 0 everywhere


def test_a_planted_repeat_is_found_where_it_is(learned):
    bound = learned.at >= 0
    centre = learned.at[bound] + len(MOTIF) / 2
    off = np.abs(centre - LENGTH / 2) > 25
    assert off.sum() > 15
    for layer, within in (("layer3", 15), ("layer2", 10)):
        found = profiles(learned.model, learned.windows.codes[bound], layers=(layer,)).argmax(1)
        assert (np.abs(found - centre) <= within)[off].mean() > 0.85
        assert np.corrcoef(found, centre)[0, 1] > 0.9
    last = profiles(learned.model, learned.windows.codes[bound]).argmax(1)
    assert np.corrcoef(last, centre)[0, 1] > 0.75


def test_both_strands_are_explained_each_by_itself():
    model, codes = tiny(), random_codes(4, LENGTH).numpy()
    plus = profiles(model, codes, strand="+")
    minus = profiles(model, reverse_complement(codes), strand="+")[:, ::-1]
    np.testing.assert_allclose(profiles(model, codes), (plus + minus) / 2, rtol=1e-5)
    got = GradCam(model, device="cpu").explain(codes, [1])[0]
    with torch.no_grad():
        logits = [
            model(torch.from_numpy(x.copy()))[:, 1] for x in (codes, reverse_complement(codes))
        ]
    np.testing.assert_allclose(got.logit, torch.stack(logits).mean(0), rtol=1e-4, atol=1e-5)


def test_values_stand_at_the_bases_that_are_there():
    codes = random_codes(2, LENGTH).numpy().copy()
    codes[0, 30:40] = N
    got = GradCam(tiny(), device="cpu").explain(codes, [1, 0])
    assert len(got) == 2 and np.isnan(got[0].gap).all()
    for explained in got:
        values = explained.hypothetical
        assert values.shape == (2, 4, LENGTH) and values.dtype == np.float32 and (values >= 0).all()
        assert not values[0, :, 30:40].any()
        other = np.arange(4)[:, None] != codes[:, None]
        assert not values[other].any()


def test_labels_and_batches_do_not_mix():
    model, codes = tiny(), random_codes(5, LENGTH).numpy()
    together = GradCam(model, device="cpu").explain(codes, [0, 1])
    for label in (0, 1):
        alone = np.concatenate([profiles(model, row[None], label) for row in codes])
        got = together[label].hypothetical.sum(1)
        np.testing.assert_allclose(got, alone, rtol=1e-3, atol=1e-5)
    assert np.abs(together[0].hypothetical - together[1].hypothetical).max() > 1e-3


def test_several_layers_are_averaged():
    model, codes = tiny(), random_codes(2, LENGTH).numpy()
    a, b = (profiles(model, codes, layers=(name,)) for name in ("layer3", "layer4.0"))
    both = profiles(model, codes, layers=("layer3", "layer4.0"))
    np.testing.assert_allclose(both, (a + b) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [{}, LITE0, LITE0 | {"trainable": "head"}])
def test_the_article_s_way(shape):
    """The output for unbound, pictures as they are, maps from 0 to 1, cut at their median."""
    model, codes = tiny(("A",), faithful=True, **shape), random_codes(3, LENGTH)
    names = ("layer4.0", "layer4.1")
    got = GradCam(model, names, device="cpu")
    assert not got.both_strands
    values = got.explain(codes.numpy(), [0])[0].hypothetical.sum(1)
    layers, kept = [model.trunk.get_submodule(name) for name in names], []
    hooks = [layer.register_forward_hook(lambda _m, _x, out: kept.append(out)) for layer in layers]
    model.trunk.requires_grad_(True)  # a frozen one, too, has gradients of activations
    outputs = model.outputs(model.images(codes, standardise=False), through=True)
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(outputs[:, 0].sum(), kept)
    for row in range(3):
        total = np.zeros((64, 64))
        for a, g in zip(kept, gradients, strict=True):
            found = class_map(a.detach(), g)[row]
            found = (found - found.min()) / (found.max() - found.min()).clamp_min(1e-7)
            grown = torch.nn.functional.interpolate(found[None, None], (64, 64), mode="bilinear")
            total += grown[0, 0].numpy() / 2
        total = (total - total.min()) / max(total.max() - total.min(), 1e-7)
        total[total < np.sort(total, axis=None)[total.size // 2 - 1]] = (
            0  # the lower of the middle two
        )
        want = total.mean(0)
        place = (np.arange(LENGTH) + 0.5) * 64 / LENGTH - 0.5
        want = np.interp(place, np.arange(64), want)
        np.testing.assert_allclose(values[row], want, atol=2e-3)


def test_the_article_s_way_knows_where_a_stretched_window_lies():
    codes = random_codes(6, LENGTH).numpy()
    inside = np.zeros(codes.shape, bool)
    for row in range(6):
        inside[row, 5 * row : 70 + 8 * row] = True
    codes[~inside] = N
    model = tiny(("A",), faithful=True, size=128)
    model.head.weight.data.abs_()  # no map is below 0 everywhere
    values = profiles(model, codes)
    assert ((values * inside).max(1) > 0).all() and not values[~inside].any()


def test_what_is_refused():
    with pytest.raises(TcnfastError, match="layer 'layer9': must be one of layer1, layer1.0, "):
        GradCam(tiny(), ("layer9",), device="cpu")
    with pytest.raises(TcnfastError, match="Grad-CAM explains the wavelet networks of"):
        GradCam(calling_model(), device="cpu")
    with pytest.raises(TcnfastError, match=r"must be uint8 codes \(n, 120\)"):
        GradCam(tiny(), device="cpu").explain(random_codes(1, 90).numpy(), [0])


@pytest.fixture(name="home")
def fixture_home(tmp_path, learned):
    shape = {**SHAPE}
    kind = {"arch": "wavelet", "mapping": "one-hot", "length": LENGTH, "shape": shape}
    save_window_model(learned.model, tmp_path / "model", kind)
    letters = np.frombuffer(b"ACGTN", np.uint8)
    windows = learned.windows.codes[:6]
    write_fasta(tmp_path / "g.fa", {"chr1": letters[windows.reshape(-1)]})
    rows = [f"chr1\t{LENGTH * i}\t{LENGTH * (i + 1)}\n" for i in range(6)]
    (tmp_path / "r.bed").write_text("".join(rows))
    calling_model().save(tmp_path / "tcn")
    return tmp_path


def test_the_command(home, run, learned):
    words = ["windows", "attribute", "-m", "model", "-g", "g.fa", "-b", "r.bed"]
    code, out, err = run(*words, "-o", "out", "--layers", "layer3,layer4.0", "--device", "cpu")
    assert (code, out) == (0, ""), err
    got = Attributions.open(home / "out" / f"{LABEL}.npz")
    assert got.method == "Grad-CAM of layer3, layer4.0"
    assert np.array_equal(got.codes, learned.windows.codes[:6])
    want = profiles(learned.model, got.codes, layers=("layer3", "layer4.0"))
    np.testing.assert_allclose(got.projected, want, rtol=1e-4, atol=1e-6)
    assert (home / "out" / "tracks" / f"{LABEL}.bw").exists()
    assert not (home / "out" / "seqlets").exists()
    rows = read_rows(home / "out" / "attributions.tsv")
    assert len(rows) == 7 and {row[6] for row in rows[1:]} == {"nan"}
    fails(run(*words, "-o", "a", "--layers", "conv1"), "layer 'conv1': must be one of layer1")
    words = ["-g", "g.fa", "-b", "r.bed", "-o", "b"]
    fails(
        run("attribute", *words, "-m", "model"), "model/config.json: a network wavelet of tcnfast"
    )
    fails(
        run("windows", "attribute", *words, "-m", "tcn"), "Grad-CAM explains the wavelet networks"
    )
    assert run("windows", "attribute", *words[2:], "-m", "model")[0] == 2  # no genome
