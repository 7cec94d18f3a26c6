"""Statistics of tiles put together: several levels of groups, right to float32 and the same every
time, however many tiles there are."""

import pytest
import torch
from support.block import compare
from support.triton import BLOCKS, DEVICE, SYMMETRIC_BLOCKS, needs_triton

from tcnfast.engines import triton_backward, triton_forward
from tcnfast.engines.triton_forward import SUMMED, TILE, Norm
from tcnfast.engines.triton_walk import Tiles

pytestmark = [needs_triton, pytest.mark.usefixtures("kernels")]


@pytest.fixture
def few(monkeypatch):
    """Four tiles a program, so that few tiles take many levels; how often tiles were grouped."""
    seen = []
    real = triton_forward.grouped

    def watched(call, kernel, statistics, **told):
        seen.append((kernel.__name__, len(statistics)))
        return real(call, kernel, statistics, **told)

    for module in (triton_forward, triton_backward):
        monkeypatch.setattr(module, "SUMMED", 4)
        monkeypatch.setattr(module, "grouped", watched)
    return seen


def call_of(channels, symmetric, sequences=1):
    x = torch.empty(sequences, 1, 1, device=DEVICE)
    weights = dict.fromkeys(("weight1", "weight2"), torch.empty(channels, channels, 1))
    sizes = dict(x=x, symmetric=symmetric, **weights)
    settings = dict(dilation=1, stride=1, tap=0, eps=1e-5, precision="fp32")
    names = "gain1", "shift1", "gain2", "shift2", "mask1", "mask2", "code_residual"
    return triton_forward.Call(**dict.fromkeys(names), **sizes, **settings)


def tile_statistics(rows, padded):
    """Means, and squares about them, of tiles of ``rows`` (N, C') float64, as kernels do it."""
    tiles = rows.split(TILE)
    found = torch.stack([torch.stack((t.mean(0), (t - t.mean(0)).square().sum(0))) for t in tiles])
    return found.float().to(DEVICE)


def batch_statistics(call, statistics, positions, gain, shift):
    size = call.channels
    norm = Norm(torch.full((4, call.padded), torch.nan, device=DEVICE))
    mean, var = (torch.full((size,), torch.nan, device=DEVICE) for _ in range(2))
    tiles = statistics if isinstance(statistics, Tiles) else Tiles(statistics)
    triton_forward.find_norm(call, norm, tiles, positions, gain, shift, mean, var)
    return mean.cpu().double(), var.cpu().double(), norm.rows.cpu().double()


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("tiles", [1, 4, 5, 16, 17, 70])
def test_batch_statistics_of_many_tiles(few, symmetric, tiles):
    """Of rows far from zero: squares about zero would lose all digits of the variance."""
    call = call_of(6, symmetric)
    generator = torch.Generator().manual_seed(tiles)
    positions = (tiles - 1) * TILE + 7
    rows = torch.randn(positions, 6, generator=generator, dtype=torch.float64) + 1000
    rows *= torch.arange(1.0, 7)
    gain, shift = torch.randn(2, 6, generator=generator)
    if symmetric:
        gain, shift = (v[:3].repeat(2) for v in (gain, shift))
        gain[3:], shift[3:] = gain[:3].flip(0), shift[:3].flip(0)
    statistics = tile_statistics(call.layout.pad(rows), call.padded)
    given = statistics, positions, gain.to(DEVICE), shift.to(DEVICE)
    mean, var, norm = batch_statistics(call, *given)
    pooled = torch.cat((rows, rows.flip(1))) if symmetric else rows
    torch.testing.assert_close(mean, pooled.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(var, pooled.var(0, correction=0), rtol=1e-4, atol=0)
    scale, moved, padded_mean, inverse = map(call.layout.unpad, norm)
    torch.testing.assert_close(inverse, (var + 1e-5).rsqrt(), rtol=1e-6, atol=0)
    torch.testing.assert_close(scale, gain * inverse, rtol=1e-6, atol=0)
    torch.testing.assert_close(moved, shift - mean * scale, rtol=1e-4, atol=1e-4)
    assert torch.equal(padded_mean, mean)
    again = batch_statistics(call, *given)
    assert all(torch.equal(a, b) for a, b in zip((mean, var, norm), again, strict=True))
    levels = 0
    while tiles > 4:
        tiles, levels = -(-tiles // 4), levels + 1
    assert len(few) == 2 * levels


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("tiles", [3, 18])
def test_tiles_may_have_any_number_of_rows(few, symmetric, tiles):
    """Which is told; some have none, of a group all."""
    call = call_of(6, symmetric)
    generator = torch.Generator().manual_seed(tiles)
    sizes = torch.randint(0, 9, (tiles,), generator=generator)
    sizes[1] = 0
    sizes[4:8] = 0
    rows = torch.randn(int(sizes.sum()), 6, generator=generator, dtype=torch.float64) + 1000
    found = torch.zeros(tiles, 2, call.padded, dtype=torch.float64)
    for of_tile, some in zip(found, call.layout.pad(rows).split(sizes.tolist()), strict=True):
        if len(some):
            mean = some.mean(0)
            of_tile.copy_(torch.stack((mean, (some - mean).square().sum(0))))
    one = torch.ones(6, device=DEVICE)
    statistics = Tiles(found.float().to(DEVICE), sizes.float().to(DEVICE))
    mean, var, _ = batch_statistics(call, statistics, len(rows), one, one)
    pooled = torch.cat((rows, rows.flip(1))) if symmetric else rows
    torch.testing.assert_close(mean, pooled.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(var, pooled.var(0, correction=0), rtol=1e-4, atol=0)
    assert (len(few) > 0) == (tiles > 4)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("tiles", [1, 4, 5, 17, 70])
def test_norm_gradients_of_many_tiles(few, symmetric, tiles):
    call = call_of(6, symmetric)
    generator = torch.Generator().manual_seed(tiles)
    sums = torch.randn(tiles, 2, 6, generator=generator)
    rows = torch.randn(4, 6, generator=generator)
    if symmetric:
        rows = torch.cat((rows[:, :3], rows[:, :3].flip(1)), 1)
    norm = Norm(call.layout.pad(rows).to(DEVICE))
    dgain, dshift = (torch.full((6,), torch.nan, device=DEVICE) for _ in range(2))
    given = None, None, call.layout.pad(sums).to(DEVICE), 50
    back = triton_backward.back_through_norm(call, *given, norm, dgain, dshift)
    want = sums.double().sum(0)
    if symmetric:
        want = (want + want.flip(1)) / 2
    shift, gain = want
    scale, _, mean, inverse = rows.double()
    q = -scale * inverse * gain / 50
    found = dict(gain=dgain, shift=dshift) | {x: call.layout.unpad(getattr(back, x)) for x in "pqr"}
    truth = dict(gain=gain, shift=shift, p=scale, q=q, r=-scale * shift / 50 - q * mean)
    for name, value in truth.items():
        torch.testing.assert_close(found[name].cpu().double(), value, rtol=1e-5, atol=1e-5)
    assert (len(few) > 0) == (tiles > 4) and {name for name, _ in few} <= {"group_sums"}


def test_a_tile_that_is_forgotten_is_seen(few, monkeypatch):
    """The last of a level."""
    real = triton_forward.grouped
    monkeypatch.setattr(
        triton_forward,
        "grouped",
        lambda call, kernel, sums, **told: real(call, kernel, sums[:-1], **told),
    )
    call = call_of(6, False)
    rows = torch.arange(5.0 * TILE, dtype=torch.float64)[:, None].repeat(1, 6)
    statistics = tile_statistics(call.layout.pad(rows), call.padded)
    one = torch.ones(6, device=DEVICE)
    mean, *_ = batch_statistics(call, statistics, len(rows), one, one)
    assert not torch.allclose(mean, rows.mean(0), rtol=1e-2)


@pytest.mark.parametrize("tiles", [SUMMED, SUMMED + 1, SUMMED**2 + 1])
def test_levels_as_they_are(tiles):
    """As many tiles as a program takes, and more than its groups take."""
    call = call_of(2, False)
    generator = torch.Generator().manual_seed(0)
    statistics = torch.rand(tiles, 2, 16, generator=generator)
    one = torch.ones(2, device=DEVICE)
    mean, var, _ = batch_statistics(call, statistics.to(DEVICE), tiles * TILE, one, one)
    means, within = statistics.double().unbind(1)
    torch.testing.assert_close(mean, means.mean(0)[:2], rtol=1e-6, atol=0)
    truth = within.mean(0) / TILE + means.var(0, correction=0)
    torch.testing.assert_close(var, truth[:2], rtol=1e-6, atol=0)


@pytest.mark.parametrize("case", [BLOCKS[1], SYMMETRIC_BLOCKS[1]])
def test_blocks_of_many_tiles_are_those_of_few(few, case):
    """With levels of four tiles, all of a block: five tiles and more."""
    compare(case._replace(sequences=1, outputs=300), "fp32", draws=1)
    assert {name for name, _ in few} == {"group_statistics", "group_sums"}
