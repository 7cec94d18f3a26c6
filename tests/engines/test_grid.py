"""Exact pruning: fewer evaluations, the same numbers, for every shape of stack and every stride."""

import pytest
import torch
import torch.nn.functional as F

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import reference
from tcnfast.engines.grid import stack_grid

# kernel size, first kernel, blocks, stride, alignment
ROWS = [
    (2, 2, 1, 1, "centred"),
    (2, 4, 3, 8, "causal"),
    (2, 14, 7, 512, "centred"),
    (2, 2, 9, 256, "causal"),
    (3, 3, 1, 4, "causal"),
    (3, 5, 2, 2, "centred"),
    (3, 15, 8, 32, "centred"),
    (3, 15, 8, 1, "causal"),
    (3, 3, 6, 64, "centred"),
    (5, 5, 4, 16, "centred"),
    (5, 7, 5, 128, "causal"),
    (5, 15, 2, 512, "centred"),
    (7, 7, 9, 32, "causal"),
    (7, 9, 3, 2, "causal"),
    (7, 15, 5, 8, "centred"),
]
rows = pytest.mark.parametrize(
    "k, first, blocks, stride, alignment",
    ROWS,
    ids=[f"k{k}-first{f}-blocks{b}-stride{s}-{a}" for k, f, b, s, a in ROWS],
)


def by_definition(model, codes):
    """Dense logits (N, labels, P): Bai's block from its definition, nothing pruned or folded."""
    x = F.one_hot(codes.long(), 5)[..., :4].transpose(1, 2).to(torch.float64)

    def normalised(norm, h):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (h - norm.running_mean[:, None]) * scale[:, None] + norm.bias[:, None]

    for index, block in enumerate(model.blocks):
        h = F.conv1d(x, block.conv1.weight, block.conv1.bias, dilation=2**index)
        h = F.relu(normalised(block.norm1, h))
        h = F.conv1d(h, block.conv2.weight, block.conv2.bias, dilation=2**index)
        h = F.relu(normalised(block.norm2, h))
        lost = x.shape[-1] - h.shape[-1]
        tap = lost // 2 if model.config.alignment == "centred" else lost
        shortcut = x[..., tap : tap + h.shape[-1]]
        if block.residual is not None:
            shortcut = F.conv1d(shortcut, block.residual.weight, block.residual.bias)
        x = F.relu(h + shortcut)
    return torch.einsum("lc,ncp->nlp", model.head.weight, x) + model.head.bias[:, None]


def reverse_complement(codes):
    return torch.where(codes < 4, 3 - codes, codes).flip(-1)


def windows_of(codes, rf, stride):
    """(1, T) -> (windows, RF)."""
    return codes[0].unfold(0, rf, stride)


def assert_same(got, want):
    assert got.shape == want.shape
    assert want.std() > 1e-3, "scores that do not vary would prove nothing"
    torch.testing.assert_close(got, want, rtol=0, atol=1e-11 * want.abs().max().item())


@pytest.fixture
def stack_case(make_model, make_codes, k, first, blocks, stride, alignment):
    """A model in float64 and codes for five scores, with a remainder that no stride divides."""
    shape = dict(kernel_size=k, first_kernel=first, blocks=blocks, alignment=alignment)
    model = make_model(channels=3, **shape).double()
    codes = make_codes(1, model.receptive_field + 4 * stride + stride // 2)
    return model, codes


@rows
@torch.no_grad()
def test_pruned_is_dense_sampled(stack_case, stride):
    model, codes = stack_case
    want = by_definition(model, codes)[..., ::stride]
    assert want.shape[-1] == 5 == model.config.grid(stride).n_scores(codes.shape[-1])
    assert_same(model.dense(codes, stride), want)
    assert_same(model.dense(codes, 1)[..., ::stride], want)
    pruned = reference.stack(codes, model.folded(), model.config.grid(stride))
    assert_same(pruned.transpose(1, 2), want)


@rows
@torch.no_grad()
def test_a_single_window_scores_as_it_does_in_its_stretch(stack_case, stride):
    model, codes = stack_case
    want = by_definition(model, codes)[0, :, ::stride].T
    assert_same(model(windows_of(codes, model.receptive_field, stride)), want)


@rows
@torch.no_grad()
def test_mirrored_is_the_reverse_complement_window_by_window(stack_case, stride):
    model, codes = stack_case
    grid = model.config.grid(stride)
    windows = windows_of(codes, model.receptive_field, stride)
    want = by_definition(model, reverse_complement(windows))[..., 0]
    assert_same(reference.stack(codes, model.folded().mirrored(grid), grid)[0], want)


@pytest.mark.parametrize("alignment", ["centred", "causal"])
@torch.no_grad()
def test_mirrored_with_as_many_channels_as_bases(make_model, make_codes, alignment):
    # the first block then adds the one-hot bases themselves, without a 1x1 convolution
    model = make_model(channels=4, blocks=3, alignment=alignment).double()
    grid, codes = model.config.grid(4), make_codes(1, model.receptive_field + 18)
    windows = windows_of(codes, model.receptive_field, 4)
    want = by_definition(model, reverse_complement(windows))[..., 0]
    assert_same(reference.stack(codes, model.folded().mirrored(grid), grid)[0], want)


@torch.no_grad()
def test_mirroring_twice_changes_nothing(make_model, make_codes):
    model = make_model(first_kernel=7, alignment="causal").double()
    grid, codes = model.config.grid(8), make_codes(2, model.receptive_field + 40)
    twice = model.folded().mirrored(grid).mirrored(grid)
    assert torch.equal(
        reference.stack(codes, twice, grid), reference.stack(codes, model.folded(), grid)
    )


def test_the_rows_hold_every_value_of_every_parameter():
    k, first, blocks, stride, alignment = map(set, zip(*ROWS, strict=True))
    assert k == {2, 3, 5, 7} and blocks >= {1, 2, 3, 4, 5, 6, 7, 8, 9}
    assert stride == {2**i for i in range(10)} and alignment == {"centred", "causal"}
    for size in k:
        assert {f - size for a, f, *_ in ROWS if a == size} >= {0, 2, (15 - size) // 2 * 2}


@pytest.mark.parametrize("blocks", [1, 4, 8, 9])
@pytest.mark.parametrize("k, first", [(2, None), (3, None), (3, 15), (5, 7), (7, 19)])
def test_receptive_field(k, first, blocks):
    want = 1 + 2 * (k - 1) * (2**blocks - 1) + ((first or k) - k)
    for stride in (1, 8, 1024):
        assert stack_grid(k, blocks, stride, first).receptive_field == want
    assert want % 2 == 1


@pytest.mark.parametrize("stride", [1, 32])
@pytest.mark.parametrize("beyond", [-1, 0, 1, 31, 32, 33, 1000], ids="RF{:+d}".format)
def test_number_of_scores(make_model, make_codes, stride, beyond):
    model = make_model()
    length, grid = model.receptive_field + beyond, model.config.grid(stride)
    assert grid.n_scores(length) == (beyond // stride + 1 if beyond >= 0 else 0)
    if beyond >= 0:
        assert model.dense(make_codes(1, length), stride).shape[-1] == grid.n_scores(length)


@pytest.mark.parametrize(
    "stride, wide", [(1, 15.0), (32, 2.09375), (256, 1.98828125)], ids=["dense", "32", "256"]
)
def test_wide_convolutions_of_the_default_stack(stride, wide):
    assert stack_grid(3, 8, stride).wide_convolutions() == wide
    assert stack_grid(3, 8, stride, 15).wide_convolutions() == wide


@pytest.mark.parametrize("blocks, stride", [(8, 1), (8, 32), (5, 4), (3, 64)])
@torch.no_grad()
def test_wide_convolutions_are_those_that_run(make_model, make_codes, monkeypatch, blocks, stride):
    model = make_model(channels=2, blocks=blocks)
    grid = model.config.grid(stride)
    codes = make_codes(1, 40 * model.receptive_field)
    positions = []
    conv2d = torch.nn.functional.conv2d

    def counted(x, weight, *rest, **named):
        out = conv2d(x, weight, *rest, **named)
        positions.append(out.shape[-1] if weight.shape[1] == 2 and weight.shape[3] > 1 else 0)
        return out

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    reference.stack(codes, model.folded(), grid)
    assert sum(positions) / codes.shape[1] == pytest.approx(grid.wide_convolutions(), rel=0.03)


def test_multiply_adds():
    grid = stack_grid(3, 8, 32)
    assert grid.macs_per_base(64, 119) == 2.09375 * 3 * 64 * 64 + 64 * 119 / 32


@pytest.mark.parametrize("stride", [0, -1, 3, 6, 24, 33, 48, 1.5, 32.0, "32", None], ids=repr)
def test_strides_that_are_no_power_of_two_raise(make_model, make_codes, stride):
    with pytest.raises(TcnfastError, match="must be a power of two"):
        stack_grid(3, 8, stride)
    model = make_model()
    with pytest.raises(TcnfastError, match="must be a power of two"):
        model.dense(make_codes(1, 300), stride)


def test_above_the_top_dilation_the_outputs_are_sampled():
    grid = stack_grid(3, 4, 128)
    assert grid.blocks[-1].grid_out == 16 and grid.sample == 8
    assert stack_grid(3, 4, 16).sample == stack_grid(3, 4, 1).sample == 1


@pytest.mark.parametrize("stride", [1, 4, 32, 512])
def test_grids_fit_together(stride):
    blocks = stack_grid(3, 8, stride, 15).blocks
    assert [b.block_dilation for b in blocks] == [2**i for i in range(8)]
    assert blocks[0].grid_in == 1, "bases are on grid 1"
    for below, above in zip(blocks, blocks[1:], strict=False):
        assert below.grid_out == above.grid_in
    for block in blocks:
        assert block.dilation * block.grid_in == block.block_dilation
        assert block.stride * block.grid_in == block.grid_out
        assert block.residual_tap("centred") * 2 == block.residual_tap("causal") == block.span
