"""Weights as the Triton kernels multiply by them: packed as the layouts say, for the way there and
back; never stale; and gradients of weights as sums of parts that leave nothing out."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.triton import DEVICE, GPU, needs_triton

from tcnfast.engines import pairs, triton_backward, triton_forward, triton_weights
from tcnfast.engines.triton_backward import PARTS, PIECE, Cut
from tcnfast.engines.triton_forward import TILE
from tcnfast.model.tcn import TCN, TCNConfig

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]


def call_of(channels, k1, k2, stride, symmetric, codes, precision="fp32"):
    generator = torch.Generator().manual_seed(channels + k1)
    weights = [
        torch.randn(channels, inputs, k, generator=generator)
        for inputs, k in ((4 if codes else channels, k1), (channels, k2))
    ]
    if symmetric:
        weights = [pairs.whole(pairs.first_half(weight)) for weight in weights]
    x = torch.zeros(1, 9, dtype=torch.uint8) if codes else torch.zeros(1, 9, 16)
    names = "gain1", "shift1", "gain2", "shift2", "mask1", "mask2", "code_residual"
    settings = dict(dilation=1, stride=stride, tap=0, eps=0.0, precision=precision)
    weight1, weight2 = (weight.to(DEVICE) for weight in weights)
    return triton_forward.Call(
        x=x.to(DEVICE),
        weight1=weight1,
        weight2=weight2,
        **dict.fromkeys(names),
        **settings,
        symmetric=symmetric,
    )


SHAPES = [
    (34, 5, 4, 2, "bf16"),
    (6, 1, 7, 2, "bf16"),
    (4, 3, 3, 1, "fp32"),
    (16, 2, 5, 1, "fp32"),
    (34, 5, 4, 2, "fp32"),
    (64, 3, 3, 2, "fp32"),
]
# of codes less is packed, by the same kernels
OFTEN = [(shape, False) for shape in SHAPES[:4]] + [(shape, True) for shape in SHAPES[:2]]


@pytest.mark.parametrize(
    "shape, codes",
    [
        pytest.param(shape, codes, marks=() if GPU or (shape, codes) in OFTEN else pytest.mark.slow)
        for shape in SHAPES
        for codes in (False, True)
    ],
    ids=str,
)
@pytest.mark.parametrize("symmetric", [False, True])
def test_packed_weights_are_those_of_the_layout(shape, codes, symmetric):
    """To the bit."""
    channels, k1, k2, stride, precision = shape
    call = call_of(channels, k1, k2, stride, symmetric, codes, precision)
    size = triton_weights.packed_size(call)
    packed = torch.full((size,), torch.nan, dtype=call.dtype, device=DEVICE)
    found = triton_weights.pack(call, packed)
    layout, weight1, weight2 = call.layout, call.weight1, call.weight2
    directly = not symmetric or (stride == 2 and k2 % 2 == 0)
    back2 = layout.taps(weight2.transpose(0, 1))
    if directly:
        back2 = layout.matrices(weight2).transpose(1, 2)
        back2 = F.pad(back2, (0, 0, 0, 0, 0, -k2 % stride))
    truth = triton_weights.Packed(
        taps1=layout.letters(weight1) if codes else layout.taps(weight1),
        taps2=layout.taps(weight2),
        back1=packed[:0] if codes else layout.taps(weight1.transpose(0, 1)),
        back2=back2,
    )
    for name, tensor in truth._asdict().items():
        got = getattr(found, name)
        assert torch.equal(got.flatten(), tensor.to(call.dtype).flatten()), name
    assert not packed.isnan().any()
    if symmetric:
        half1, half2 = (pairs.first_half(weight).contiguous() for weight in (weight1, weight2))
        call = replace(call, weight1=half1, weight2=half2)
        again = torch.full_like(packed, torch.nan)
        triton_weights.pack(call, again)
        assert torch.equal(again, packed)


# nothing stale


def model_and_codes(seed, **config):
    torch.manual_seed(seed)
    config = dict(channels=4, blocks=2, first_kernel=5, dropout=0.0) | config
    model = TCN(TCNConfig(labels=["a"], **config)).train().to(DEVICE)
    codes = torch.randint(4, (2, model.receptive_field + 9), dtype=torch.uint8)
    return model, codes.to(DEVICE)


def gradients(model, codes):
    model.zero_grad()
    logits = model.dense(codes, 2)
    logits.square().sum().backward()
    return [logits.detach().clone(), *(p.grad.clone() for p in model.parameters())]


def afresh(model, codes):
    """What a copy gives that never ran."""
    return gradients(copy.deepcopy(model), codes)


def equal(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def changed_in_place(symmetric):
    """A second step after weights changed, also where no version counts it."""
    model, codes = model_and_codes(0, symmetric=symmetric)
    before = gradients(model, codes)
    changes = [lambda p: p.data.mul_(1.5)] + [lambda p: p.mul_(1.5)] * (not symmetric)
    for change in changes:
        with torch.no_grad():
            change(next(model.blocks[1].conv2.parameters()))
        after = gradients(model, codes)
        assert not torch.equal(before[0], after[0])
        assert equal(after, afresh(model, codes))
        before = after


def two_models_by_turns():
    """Both forward passes, then both ways back."""
    (one, codes), (other, _) = model_and_codes(0), model_and_codes(1)
    plain = [gradients(copy.deepcopy(model).unfused(), codes) for model in (one, other)]
    logits = [model.dense(codes, 2) for model in (one, other)]
    for values in logits:
        values.square().sum().backward()
    for model, values, want in zip((one, other), logits, plain, strict=True):
        found = [values, *(p.grad for p in model.parameters())]
        torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("symmetric", [False, True])
def test_weights_that_change_between_steps_are_packed_anew(symmetric):
    changed_in_place(symmetric)


def test_two_models_do_not_mix_what_is_packed():
    two_models_by_turns()


def test_weights_that_change_before_the_way_back_raise():
    model, codes = model_and_codes(0)
    loss = model.dense(codes, 2).square().sum()
    with torch.no_grad():
        model.blocks[1].conv2.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_each_block_is_packed_once_a_step(monkeypatch):
    seen = []
    real = triton_forward.pack
    monkeypatch.setattr(
        triton_forward, "pack", lambda call, packed: seen.append(call) or real(call, packed)
    )
    model, codes = model_and_codes(0)
    gradients(model, codes)
    assert len(seen) == len(model.blocks)


@pytest.mark.parametrize("check", [lambda: changed_in_place(False), two_models_by_turns])
def test_a_stale_cache_is_seen(monkeypatch, check):
    """One by shape, which is never told that weights change."""
    real, cache = triton_forward.pack, {}

    def cached(call, packed):
        key = tuple(call.weight1.shape), call.dilation
        if key not in cache:
            cache[key] = real(call, packed)
        for mine, kept in zip(triton_weights.views(call, packed), cache[key], strict=True):
            mine.copy_(kept)
        return triton_weights.views(call, packed)

    monkeypatch.setattr(triton_forward, "pack", cached)
    with pytest.raises(AssertionError):
        check()


# parts


@pytest.mark.parametrize("sequences", [1, 2, 63, 64, 65, 128, 129, 1000])
@pytest.mark.parametrize("outputs", [1, 63, 64, 65, 4097, 10**5, 3 * 10**9])
def test_parts_cover_every_output_once(sequences, outputs):
    cut = Cut.of(sequences, outputs)
    assert cut.chunk % TILE == 0 and cut.chunk <= PIECE
    assert (cut.cuts - 1) * cut.chunk < outputs <= cut.cuts * cut.chunk
    assert cut.total == sequences * cut.cuts
    assert (cut.parts - 1) * cut.per_part < cut.total <= cut.parts * cut.per_part
    assert cut.parts <= 2 * PARTS
    if sequences * outputs >= PARTS * TILE * 2:
        assert cut.parts >= PARTS // 2


def test_offsets_in_a_piece_fit_in_32_bits():
    """As ``piece_of`` promises: outputs of a piece, and offsets of rows in a tile."""
    assert PIECE < 2**31 and TILE * 2 * 1024 < 2**24
    assert triton_backward.PIECE % TILE == 0
