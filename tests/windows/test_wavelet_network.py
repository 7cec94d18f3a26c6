"""Wavelet pictures and their ResNet: the published network, what learns and what stays, the article
and its flaws, weights of others, what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from support.wavelet import LABEL, LENGTH, random_codes, repeats, window_set

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import N, reverse_complement
from tcnfast.windows.architectures import window_scorer
from tcnfast.windows.resnet import load_image_weights, resnet
from tcnfast.windows.wavelet_network import WaveletNetwork
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_fit import fit_windows
from tcnfast.windows.window_run import open_window_model, save_window_model

pytest.importorskip("monai", reason="the extra wavelet is not installed")

TINY = dict(depth=10, width=4, size=64)


def tiny(length=LENGTH, labels=(LABEL,), **shape):
    torch.manual_seed(5)
    mapping = shape.pop("mapping", "one-hot")
    return WaveletNetwork(list(labels), length, mapping, **{**TINY, **shape})


def torchvision_shapes(width=64, blocks=(3, 4, 6, 3)):
    """Tensors of torchvision's bottleneck ResNet but for its classifier, by the rules that name
    them: shapes by name."""
    found = {"conv1.weight": (width, 3, 7, 7)}

    def norm(name, channels):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{tensor}"] = (channels,)
        found[f"{name}.num_batches_tracked"] = ()

    norm("bn1", width)
    inputs = width
    for i, count in enumerate(blocks):
        inner, outer = width * 2**i, width * 2**i * 4
        for j in range(count):
            name = f"layer{i + 1}.{j}"
            kernels = (inner, inputs, 1, 1), (inner, inner, 3, 3), (outer, inner, 1, 1)
            for k, shape in enumerate(kernels, 1):
                found[f"{name}.conv{k}.weight"] = shape
                norm(f"{name}.bn{k}", shape[0])
            if j == 0:
                found[f"{name}.downsample.0.weight"] = (outer, inputs, 1, 1)
                norm(f"{name}.downsample.1", outer)
            inputs = outer
    return found


def test_tensors_of_resnet_50_are_torchvision_s():
    with torch.device("meta"):
        network = resnet(50, 64)
    assert {k: tuple(x.shape) for k, x in network.state_dict().items()} == torchvision_shapes()
    # 25,557,032 with the classifier of 1,000 classes, as published
    assert sum(p.numel() for p in network.parameters()) + 1000 * 2049 == 25_557_032


def test_resnet_50_computes_what_was_published():
    """He et al. 2016, with the stride on the 3 x 3 convolutions, as torchvision has it."""
    torch.manual_seed(0)
    network = resnet(50, 4).eval()
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith(("mean", "bias")):
            tensor.normal_(std=0.3)
        elif name.endswith("var") or tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{part}"] for part in names))

    x = torch.randn(2, 3, 64, 64)
    h = F.max_pool2d(F.relu(norm(conv(x, "conv1", 2), "bn1")), 3, 2, 1)
    for i, count in enumerate((3, 4, 6, 3), 1):
        for j in range(count):
            name, stride = f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1
            y = F.relu(norm(conv(h, f"{name}.conv1"), f"{name}.bn1"))
            y = F.relu(norm(conv(y, f"{name}.conv2", stride), f"{name}.bn2"))
            y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
            if j == 0:
                h = norm(conv(h, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            h = F.relu(y + h)
    torch.testing.assert_close(network(x), h.mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_it_learns_to_find_a_repeat(learned):
    model, windows = learned.model, learned.windows
    with torch.no_grad():
        logits = model(torch.from_numpy(windows.codes))[:, 0].numpy()
    assert ((logits > 0) == (learned.at >= 0)).mean() > 0.9


@pytest.mark.parametrize("trainable", ["layer4", "all"])
def test_what_is_frozen_stays(trainable):
    codes, at = repeats(96, 3)
    windows = window_set(codes, (at >= 0)[:, None])
    model = tiny(trainable=trainable)
    model.start(windows, 0)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    config = WindowConfig(epochs=1, batch_size=16, shift=0, mutate=0, precision="fp32")
    fit_windows(model, windows, windows, config, "cpu")
    changed = {
        name.split(".")[1]
        for name, x in model.state_dict().items()
        if name.startswith("trunk") and not torch.equal(x, before[name])
    }
    everything = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert changed == (everything if trainable == "all" else {"layer4"})


def test_a_random_start_knows_its_colours_and_passes_on_what_is_normalised(caplog):
    windows = window_set(*[x[: len(x)] for x in (repeats(96, 3)[0], np.ones((96, 1)))])
    model = tiny()
    model.start(windows, 0)
    assert "random weights" in caplog.text and "stay random unless" in caplog.text
    codes = torch.from_numpy(windows.codes)
    moduli = model.moduli(codes)
    low, high = model.colour_range.tolist()
    assert low == 0 and (moduli < high).float().mean() == pytest.approx(0.999, abs=1e-4)
    seen = []
    norm = model.trunk.layer3[0].bn2
    norm.register_forward_hook(lambda _m, _x, out: seen.append(out.clone()))
    with torch.no_grad():
        model.eval()(codes)
    whole = torch.cat(seen)
    assert whole.mean((0, 2, 3)).abs().max() < 0.02
    assert (whole.std((0, 2, 3)) - 1).abs().max() < 0.1
    again = tiny()
    again.start(windows, 0)
    assert torch.equal(again.colour_range, model.colour_range)


@torch.no_grad()
def test_amplitude_is_kept_unless_faithful():
    """Poly-A with a single C: a faint picture, which the article's scale makes as bright as any."""
    codes = torch.zeros(1, LENGTH, dtype=torch.uint8)
    codes[0, 60] = 1
    loud = random_codes(1, LENGTH)
    images = [
        tiny(faithful=f).images(x, standardise=False) for f in (False, True) for x in (codes, loud)
    ]
    red = [image[0, 0] for image in images]  # of turbo the upper half
    assert red[0].max() < 0.5 < red[1].max()
    assert red[2].max() > 0.5 and red[3].max() > 0.5


@torch.no_grad()
def test_batch_norm_of_the_article_depends_on_the_batch():
    codes = random_codes(8, LENGTH)
    ours, theirs = tiny().eval(), tiny(faithful=True).eval()
    torch.testing.assert_close(ours(codes)[:2], ours(codes[:2]), rtol=1e-4, atol=1e-5)
    averages = theirs.trunk.layer1[0].bn1.running_mean.clone()
    assert (theirs(codes)[:2] - theirs(codes[:2])).abs().max() > 1e-2
    assert not torch.equal(averages, theirs.trunk.layer1[0].bn1.running_mean)
    assert not ours.trunk.bn1.training and theirs.trunk.bn1.training


class Centred(torch.nn.Module):
    """Takes the mean of 32 windows from what they begin with, as batch statistics would."""

    labels, both_strands, batch_statistics = [LABEL], False, True

    def forward(self, codes):
        return torch.cat([x - x.mean() for x in codes[:, :1].float().split(32)])


def test_windows_that_lie_sorted_are_mixed_where_a_score_depends_on_its_batch():
    codes = np.zeros((640, LENGTH), np.uint8)
    codes[:320, 0] = 3
    scores = window_scorer(Centred(), "cpu", "fp32")(codes)[:, 0]
    assert scores[:320].min() > 0 > scores[320:].max()  # batches of one class would give 0
    np.testing.assert_array_equal(scores, window_scorer(Centred(), "cpu", "fp32")(codes)[:, 0])
    assert tiny(faithful=True).batch_statistics and not tiny().batch_statistics


def test_the_article_scores_the_strand_given():
    codes = random_codes(5, LENGTH).numpy()
    ours, theirs = tiny(), tiny(faithful=True)
    scores = [window_scorer(ours, "cpu", "fp32")(x) for x in (codes, reverse_complement(codes))]
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5)
    scores = [window_scorer(theirs, "cpu", "fp32")(x) for x in (codes, reverse_complement(codes))]
    assert np.abs(np.subtract(*scores)).max() > 1e-2


@torch.no_grad()
def test_the_article_stretches_what_lies_between_outer_n():
    inner = random_codes(2, 80)
    framed = torch.full((2, LENGTH), N, dtype=torch.uint8)
    framed[0, :80], framed[1, 13:93] = inner[0], inner[1]
    got = tiny(faithful=True).images(framed)
    torch.testing.assert_close(got, tiny(80, faithful=True).images(inner))
    ours = tiny()
    assert (ours.images(framed)[0] - tiny(80).images(inner)[0]).abs().max() > 0.5


@torch.no_grad()
def test_the_article_s_green_is_off_by_its_mean():
    codes = random_codes(1, LENGTH)
    model = tiny(faithful=True)
    plain, shown = model.images(codes, standardise=False), model.images(codes)
    torch.testing.assert_close(shown[:, 1] * 0.224 + 0.485, plain[:, 1])
    shown, plain = tiny().images(codes), tiny().images(codes, standardise=False)
    torch.testing.assert_close(shown[:, 1] * 0.224 + 0.456, plain[:, 1])


@torch.no_grad()
def test_logits_of_two_outputs_are_their_difference():
    model = tiny(labels=("A", "B"), faithful=True)
    model.trunk.eval()
    codes = random_codes(3, LENGTH)
    outputs = model.outputs(model.images(codes))
    assert outputs.shape == (3, 4)
    shares = torch.softmax(outputs.view(3, 2, 2), 2)[..., 1]
    torch.testing.assert_close(torch.sigmoid(model(codes)), shares, rtol=1e-4, atol=1e-5)
    bias = model.head.bias.clone()
    model.set_label_rates(torch.tensor([0.1, 0.2]))
    assert torch.equal(model.head.bias, bias)


@torch.no_grad()
def test_n_is_the_mean_and_a_window_of_n_is_dark():
    model = tiny()
    dark = model.images(torch.full((1, LENGTH), N, dtype=torch.uint8), standardise=False)
    assert (dark.amax((2, 3)) == dark.amin((2, 3))).all()
    assert model.values.tolist()[:4] == pytest.approx([-1.3416, -0.4472, 0.4472, 1.3416], abs=1e-4)
    assert tiny(faithful=True).values.tolist() == [1, 2, 3, 4, 0]
    assert tiny(faithful=True, mapping="eiip").values[2].item() == pytest.approx(0.0806)


def weights_file(folder, suffix, change=None, width=4):
    # of the size that trained ones have, so that numbers stay finite through 16 blocks
    state = {
        name: 0.1 * torch.rand(shape) + 0.1 * (len(shape) == 1) if shape else torch.tensor(7)
        for name, shape in torchvision_shapes(width).items()
    }
    state |= {"fc.weight": torch.rand(1000, 8), "fc.bias": torch.rand(1000)}
    if change:
        change(state)
    path = folder / f"resnet50{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    return path, state


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_start_from_weights_of_others_outlives_their_file(tmp_path, suffix, caplog):
    path, state = weights_file(tmp_path, suffix)
    shape = {"depth": 50, "width": 4, "size": 64, "weights": str(path)}
    model = WaveletNetwork([LABEL], LENGTH, **shape)
    codes, at = repeats(32, 3)
    model.start(window_set(codes, (at >= 0)[:, None]), 0)
    assert "random" not in caplog.text
    got = model.state_dict()
    for name, tensor in state.items():
        if not name.startswith("fc."):
            assert torch.equal(got[f"trunk.{name}"], tensor), name
    path.unlink()
    kind = {"arch": "wavelet", "mapping": "one-hot", "length": LENGTH, "shape": shape}
    save_window_model(model, tmp_path / "model", kind)
    opened = open_window_model(tmp_path / "model")
    with torch.no_grad():
        x = torch.from_numpy(codes)
        torch.testing.assert_close(opened(x), model.eval()(x))


def test_files_of_2016_have_no_counts(tmp_path):
    def old(state):
        for name in [name for name in state if name.endswith("num_batches_tracked")]:
            del state[name]

    load_image_weights(resnet(50, 4), weights_file(tmp_path, ".pth", old)[0])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("layer2.1.conv2.weight"), r"resnet50.pth: lacks layer2.1.conv2.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "holds, beside what the network has, extra"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(4, 1, 7, 7)}),
            r"conv1.weight is \(4, 1, 7, 7\), the network's \(4, 3, 7, 7\)",
        ),
        (lambda s: s["bn1.bias"].fill_(float("nan")), "bn1.bias holds numbers that are not finite"),
        (lambda s: s.update(epoch=3), "holds no tensors by name"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, words):
    path, _ = weights_file(tmp_path, ".pth", change)
    with pytest.raises(TcnfastError, match=words):
        load_image_weights(resnet(50, 4), path)


def test_files_that_hold_no_weights_are_refused(tmp_path):
    for name, content in (("a.pth", b"not a file of torch"), ("a.safetensors", b"nor this")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TcnfastError, match=f"{name}: cannot be read"):
            load_image_weights(resnet(10, 4), tmp_path / name)
    with pytest.raises(TcnfastError, match="none.pth: no such file"):
        load_image_weights(resnet(10, 4), tmp_path / "none.pth")
    torch.save(tiny(), tmp_path / "module.pth")  # a pickled class runs code
    with pytest.raises(TcnfastError, match="module.pth: cannot be read"):
        load_image_weights(resnet(10, 4), tmp_path / "module.pth")


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: tiny(1), "a signal of 1 bases has no scalogram"),
        (lambda: tiny(mapping="hot"), "mapping 'hot': must be one of"),
        (lambda: tiny(wavelet="haar"), "wavelet 'haar'"),
        (lambda: tiny(trainable="fc"), "trainable 'fc': must be one of head, layer4, all"),
        (lambda: tiny(size=32), "size 32: must be at least 64 pixels"),
        (lambda: tiny(depth=34), "depth 34: must be one of 10, 18, 50"),
        (lambda: tiny(width=0), "width 0"),
    ],
)
def test_settings_that_are_refused(make, words):
    with pytest.raises(TcnfastError, match=words):
        make()


def test_sequences_that_the_article_refuses():
    model, codes = tiny(faithful=True), random_codes(3, LENGTH)
    codes[1, 50] = N
    with pytest.raises(TcnfastError, match="window 1 of a batch holds N among its bases"):
        model(codes)
    codes[1] = N
    with pytest.raises(TcnfastError, match="window 1 of a batch holds 0 bases between N"):
        model(codes)
    codes[1, 50] = 2
    with pytest.raises(TcnfastError, match="holds 1 bases between N; a scalogram takes 16"):
        model(codes)


def test_a_class_without_windows_is_refused():
    codes, _ = repeats(40, 3)
    windows = window_set(codes, np.zeros((40, 1)))
    with pytest.raises(TcnfastError, match="label REPEAT has no bound window in part train"):
        fit_windows(tiny(), windows, windows, WindowConfig(epochs=1), "cpu")
