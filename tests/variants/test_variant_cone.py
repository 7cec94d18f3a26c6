"""Logits of stretches with another base, by the cone above it, against whole stretches."""

import pytest
import torch
from support.models import random_model

from tcnfast.engines import reference
from tcnfast.engines.backend import VARIANTS, why_not
from tcnfast.engines.cone import Cone, touched
from tcnfast.engines.grid import stack_grid

SHAPES = {
    "plain": {},
    "wide first kernel": {"first_kernel": 9},
    "causal": {"alignment": "causal", "first_kernel": 7},
    "k = 5": {"kernel_size": 5, "blocks": 3},
    "weight norm": {"norm": "weight"},
}
BACKENDS = ["cpu", "reference"]


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """What keeps the unchanged activations."""
    monkeypatch.setenv("TCNFAST_BACKEND", request.param)
    if reason := why_not(VARIANTS, torch.device("cpu"), "fp32"):
        pytest.skip(reason)
    return request.param


def whole(weights, grid, codes):
    return reference.stack(codes, weights.to("cpu", torch.float64), grid)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("strand", "+-")
def test_every_base_of_a_stretch(shape, stride, strand, backend, make_codes):
    """Touched scores are those of the changed stretch, all others are those of the unchanged."""
    torch.manual_seed(0)
    model = random_model(**SHAPES[shape])
    grid, field = model.config.grid(stride), model.receptive_field
    weights = model.folded() if strand == "+" else model.folded().mirrored(grid)
    cone = Cone(weights, grid)
    assert cone.backend == backend
    length = field + 3 * stride
    codes = make_codes(2, length)
    kept = cone.activations(codes)
    rows, starts = torch.tensor([0, 1, 1, 0]), torch.zeros(4, dtype=torch.int64)
    new = torch.tensor([0, 3, 4, 1], dtype=torch.uint8)
    before = whole(weights, grid, codes)
    same = cone.reference_logits(kept, rows, starts, before.shape[1]).double()
    torch.testing.assert_close(same, before[rows], atol=1e-4, rtol=1e-4)
    for base in range(length):
        geometry = touched(grid, base, length)
        changed = codes[rows].clone()
        changed[:, base] = new
        want = whole(weights, grid, changed)
        part = slice(geometry.scores.first, geometry.scores.last + 1)
        got = cone.logits(kept, rows, starts, geometry, new).double()
        torch.testing.assert_close(got, want[:, part], atol=1e-4, rtol=1e-4)
        apart = torch.ones(want.shape[1], dtype=torch.bool)
        apart[part] = False
        torch.testing.assert_close(want[:, apart], before[rows][:, apart], atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_in_a_region_kept_at_every_base(shape, backend, make_codes):
    """Finer activations serve windows that begin at any base."""
    torch.manual_seed(1)
    model = random_model(**SHAPES[shape])
    field, half = model.receptive_field, model.receptive_field // 2
    grid = model.config.grid(2**model.config.blocks)
    cone = Cone(model.folded(), grid)
    codes = make_codes(1, field + 40)
    kept = cone.activations(codes, model.config.grid(1))
    starts = torch.arange(41)
    rows, new = torch.zeros_like(starts), torch.full((41,), 2, dtype=torch.uint8)
    got = cone.logits(kept, rows, starts, touched(grid, half, field), new)
    windows = codes[0].unfold(0, field, 1).clone()
    same = cone.reference_logits(kept, rows, starts, 1)
    want = whole(model.folded(), grid, windows)
    torch.testing.assert_close(same.double(), want, atol=1e-4, rtol=1e-4)
    windows[:, half] = 2
    want = whole(model.folded(), grid, windows)
    torch.testing.assert_close(got.double(), want, atol=1e-4, rtol=1e-4)


def test_a_base_touches_few_positions():
    """A plain count of encode-v1's shape: 97 wide convolutions of 1,977."""
    grid = stack_grid(3, 8, 256, 19)
    field = grid.receptive_field
    assert touched(grid, field // 2, field).convolutions() == 97
    positions = [(field - 1 - reach) // step + 1 for reach, step in _layers(grid)]
    assert sum(positions[1:]) == 1977


def _layers(grid):
    reach = 0
    for block in grid.blocks:
        steps = (block.grid_in, block.grid_out)
        for taps, step in zip(block.kernel_sizes, steps, strict=True):
            reach += (taps - 1) * block.block_dilation
            yield reach, step


def test_wider_strides_than_the_stack_has_are_refused():
    model = random_model()
    with pytest.raises(ValueError, match="at most 2"):
        Cone(model.folded(), model.config.grid(64))
