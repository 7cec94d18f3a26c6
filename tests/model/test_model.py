"""The network: inputs, receptive field, initialisation, and configuration."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from support.models import random_model

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.model.ensemble import Ensemble
from tcnfast.model.tcn import TCN, TCNConfig

N = 4


def one_hot(codes):
    """(N, L) -> (N, 4, L), written down letter by letter."""
    return torch.stack([(codes == base).float() for base in range(4)], dim=1)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def as_in_training(model):
    """Evaluation without batch statistics: dropout alone is off."""
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.eval()
    return model


# inputs


@torch.no_grad()
def test_codes_and_one_hot_score_alike(make_model, make_codes):
    model, codes = make_model(), make_codes(3, 150)
    close(model(codes), model(one_hot(codes)))
    for stride in (1, 8):
        close(model.dense(codes, stride), model.dense(one_hot(codes), stride))


@torch.no_grad()
def test_n_is_all_zeros(make_model):
    model = make_model()
    nothing = torch.full((1, model.receptive_field), N, dtype=torch.uint8)
    close(model(nothing), model(torch.zeros(1, 4, model.receptive_field)))


@pytest.mark.parametrize("difference", [-60, -59, -2, -1, 0, 1, 2, 7, 8], ids="RF{:+d}".format)
@torch.no_grad()
def test_input_is_cropped_or_filled_with_n_around_its_middle_base(
    make_model, make_codes, difference
):
    model = make_model()  # receptive field 61
    rf = model.receptive_field
    codes = make_codes(2, rf + difference)
    length = codes.shape[1]
    window = torch.full((2, rf), N, dtype=torch.uint8)
    for i in range(rf):
        source = length // 2 - rf // 2 + i
        if 0 <= source < length:
            window[:, i] = codes[:, source]
    assert (window[:, rf // 2] == codes[:, length // 2]).all()
    want = model.dense(window)[..., 0]
    close(model(codes), want)
    close(model(one_hot(codes)), want)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(2, 3, 200),
        torch.zeros(4, 200),
        torch.zeros(200, dtype=torch.uint8),
        torch.zeros(2, 200, dtype=torch.int64),
        torch.zeros(2, 4, 200, dtype=torch.uint8),
    ],
    ids=["three-channels", "unbatched", "one-sequence", "int64-codes", "uint8-one-hot"],
)
def test_other_inputs_raise(make_model, x):
    for call in (make_model(), make_model().dense):
        with pytest.raises(TcnfastError, match=r"must be uint8 codes \(N, L\) or float one-hot"):
            call(x)


def test_dense_needs_a_whole_window(make_model, make_codes):
    model = make_model()
    with pytest.raises(TcnfastError, match="60 bases are under the receptive field of 61"):
        model.dense(make_codes(1, 60))


# receptive field


@pytest.mark.parametrize("alignment", ["centred", "causal"])
@pytest.mark.parametrize("k, first, blocks, stride", [(3, 3, 4, 8), (3, 15, 3, 2), (2, 4, 5, 32)])
def test_gradient_fills_the_window_and_ends_with_it(
    make_model, alignment, k, first, blocks, stride
):
    model = make_model(kernel_size=k, first_kernel=first, blocks=blocks, alignment=alignment)
    with torch.no_grad():  # all positive, so that no ReLU cuts a path
        for parameter in model.parameters():
            parameter.abs_()
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
    rf = model.receptive_field
    x = torch.rand(1, 4, rf + 3 * stride + 1, requires_grad=True)
    for position in range(4):
        score = model.dense(x, stride)[0, 0, position]
        (gradient,) = torch.autograd.grad(score, x)
        touched = gradient[0].abs().sum(0).nonzero().flatten()
        assert touched[0] == position * stride
        assert touched[-1] == position * stride + rf - 1


@torch.no_grad()
def test_bases_outside_the_window_change_nothing(make_model, make_codes):
    model, stride, position = make_model().double(), 8, 2
    codes = make_codes(1, model.receptive_field + 5 * stride)
    first, last = position * stride, position * stride + model.receptive_field - 1
    other = make_codes(1, codes.shape[1])
    other[:, first : last + 1] = codes[:, first : last + 1]
    want = model.dense(codes, stride)
    got = model.dense(other, stride)
    assert torch.equal(got[..., position], want[..., position])
    assert not torch.equal(got[..., position - 1], want[..., position - 1])
    assert not torch.equal(got[..., position + 1], want[..., position + 1])


@torch.no_grad()
def test_the_identity_path_follows_the_alignment(make_codes):
    """With the convolutions silenced, the score is a function of one base of the window."""
    for alignment, where in (("centred", "middle"), ("causal", "end")):
        model = TCN(TCNConfig(labels=["a"], channels=4, blocks=3, alignment=alignment)).eval()
        for block in model.blocks:
            block.norm2.weight.zero_()
        model.head.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        rf = model.receptive_field
        codes = make_codes(1, rf + 40)
        base = codes[:, rf // 2 :] if where == "middle" else codes[:, rf - 1 :]
        want = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0])[base[0, :41].int()]
        close(model.dense(codes)[0, 0], want)


# initialisation and training mode


@pytest.mark.parametrize("norm", ["batch", "weight"])
@torch.no_grad()
def test_activations_keep_their_size_through_the_stack(make_codes, norm):
    model = TCN(TCNConfig(labels=["a"], channels=32, blocks=8, norm=norm, first_kernel=15))
    sizes = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, out: sizes.append(out.var().item()))
    as_in_training(model).dense(make_codes(4, model.receptive_field + 64), 1)
    # a residual adds its branch: growth is linear in the blocks, not geometric
    assert len(sizes) == 8 and all(0.5 < b / a < 3 for a, b in pairwise(sizes))
    assert max(sizes) < 8 * 8 * min(sizes)


def test_head_bias_is_at_the_log_odds_of_the_rates(make_model):
    model = make_model()
    model.set_label_rates(torch.tensor([0.5, 0.01, 0.0]))
    close(model.head.bias.detach(), torch.tensor([0.0, -4.59512, -13.81551]))
    model.head.weight.data.zero_()
    codes = torch.full((1, 61), N, dtype=torch.uint8)
    close(model(codes)[0].sigmoid().detach(), torch.tensor([0.5, 0.01, 1e-6]))


@torch.no_grad()
def test_dropout_masks_whole_channels_of_one_sequence(make_model, make_codes):
    model = make_model(channels=32, blocks=3, dropout=0.25).train()
    seen = []
    for block in model.blocks:
        for layer in (block.drop1, block.drop2):
            layer.register_forward_hook(lambda _, x, out: seen.append((x[0], out)))
    model.dense(make_codes(6, 120))
    assert len(seen) == 6
    masks = []
    for x, out in seen:
        live = x.abs().sum((2, 3)) > 0
        kept = out.abs().sum((2, 3)) > 0
        scale = torch.where(kept, 1 / 0.75, 0.0)[:, :, None, None]
        close(out, x * scale)
        assert live.float().mean() > 0.5
        masks.append(kept | ~live)
    masks = torch.stack(masks)
    assert 0.6 < masks.float().mean() < 0.9
    assert (masks[:, 0] != masks[:, 1]).any(), "sequences share a mask"
    assert (masks[0] != masks[1]).any(), "convolutions share a mask"


def test_every_relu_and_dropout_is_a_module_used_once(make_model, make_codes):
    model, calls = make_model(), {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, n=name: calls.update({n: calls.get(n, 0) + 1}))
    model(make_codes(1, 61))
    relus = [name for name in calls if "relu" in name]
    assert len(relus) == 3 * 4 and set(calls.values()) == {1}


def test_weight_norm_folds(make_model, make_codes):
    from tcnfast.engines import reference

    model = make_model(norm="weight").double()
    codes = make_codes(2, 120)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    folded = reference.stack(codes, model.folded(), model.config.grid(4))
    close(folded.transpose(1, 2), model.dense(codes, 4))


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_it_learns_one_batch_by_heart(make_codes, norm):
    model = TCN(TCNConfig(labels=["a", "b"], channels=8, blocks=2, norm=norm, dropout=0.0)).train()
    codes = make_codes(16, model.receptive_field)
    truth = (torch.rand(16, 2, 1) < 0.5).float()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model.dense(codes), truth)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, f"{name} is not trained"
        optimiser.step()
    assert losses[0] > 0.6 and losses[-1] < 0.3 * losses[0]


# configuration

GOOD = {"labels": ["a", "b"]}


@pytest.mark.parametrize(
    "change, word",
    [
        ({"labels": []}, "at least one name"),
        ({"labels": ["a", ""]}, "at least one name"),
        ({"labels": ["a", 3]}, "at least one name"),
        ({"labels": ["a", "b", "a"]}, "distinct"),
        ({"labels": ["a\tb"]}, "label"),
        ({"labels": ["a\nb"]}, "label"),
        ({"channels": 0}, "channels 0"),
        ({"channels": 2.5}, "channels 2.5"),
        ({"channels": True}, "channels True"),
        ({"blocks": -1}, "blocks -1"),
        ({"blocks": 21}, "megabase"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"kernel_size": "3"}, "kernel_size '3'"),
        ({"first_kernel": 4}, "even number"),
        ({"first_kernel": 1}, "must exceed kernel_size 3"),
        ({"norm": "layer"}, "batch, weight"),
        ({"alignment": "center"}, "centred, causal"),
        ({"dropout": 1}, r"\[0, 1\)"),
        ({"dropout": -0.1}, r"\[0, 1\)"),
        ({"dropout": "0.1"}, "dropout '0.1'"),
        ({"dropout": float("nan")}, r"\[0, 1\)"),
        ({"label_bin": 0}, "label_bin 0"),
    ],
    ids=lambda x: ",".join(f"{k}={v!r}" for k, v in x.items()) if isinstance(x, dict) else "",
)
def test_config_errors_are_one_line(change, word):
    with pytest.raises(TcnfastError, match=word) as info:
        TCNConfig(**GOOD | change)
    assert "\n" not in str(info.value)


def test_config_defaults_are_the_design():
    config = TCNConfig(labels=("a",))
    assert config.labels == ["a"] and config.first_kernel == config.kernel_size == 3
    assert config.receptive_field == 1021
    assert TCNConfig(labels=["a"], first_kernel=15).receptive_field == 1033


def test_numpy_is_taken_where_tensors_are():
    model = random_model().eval()
    codes = np.random.default_rng(0).integers(0, 5, (2, 200), np.uint8)
    for call in (model, model.dense, Ensemble([model, model])):
        want = call(torch.from_numpy(codes))
        torch.testing.assert_close(call(codes), want)
        torch.testing.assert_close(call(tcnfast.one_hot(codes)), want)
