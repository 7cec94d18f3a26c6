"""Windows with another base, by the engine: the bits of whole windows, whatever lies about them."""

import numpy as np
import pytest
import torch
from support.engine import ENGINES, needs_engine
from support.substitution import SHAPES, check, some_windows, weights_of, whole

from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import ISA_VARIABLE, ChangedWindows
from tcnfast.engines.grid import stack_grid

pytestmark = needs_engine
every_isa = pytest.mark.parametrize("isa", [isa for isa, kind in ENGINES if kind == "fp32"])
SHAPE = SHAPES[5]


@pytest.mark.parametrize("active", [0.0, 3.0], ids=["sparse", "dense"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_isa
def test_bits_are_those_of_whole_windows(isa, shape, active, monkeypatch):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    check(shape, active)


@pytest.mark.parametrize("step", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_runs_of_windows_have_the_bits_of_their_windows(shape, step):
    """Runs of one window and of many, in heaps and apart, with their base at either end, too."""
    weights, grid = weights_of(shape), shape.grid
    field, rng = grid.receptive_field, np.random.default_rng(step)
    codes, starts, _, _ = some_windows(field, 24)
    counts = rng.integers(1, 12, len(starts))
    counts[[3, 9]] = 1, field // step + 2
    widths = field + step * (counts - 1)
    codes = np.resize(codes, (starts + widths).max())
    places = rng.integers(0, widths)
    places[:3] = 0, widths[1] - 1, min(field, widths[2] - 1)
    bases = rng.integers(0, 5, len(starts)).astype(np.uint8)
    run = cpu_engine.Substitutions(weights, grid)
    before, after = run.pairs(ChangedWindows(codes, starts, places, bases, counts, step))

    of = np.repeat(np.arange(len(starts)), counts)
    moved = step * np.concatenate([np.arange(count) for count in counts])
    assert torch.equal(before, whole(weights, grid, codes, starts[of] + moved))
    place = places[of] - moved
    there = (place >= 0) & (place < field)
    expected = before.clone()
    windows = (starts[of] + moved)[there]
    expected[there] = whole(weights, grid, codes, windows, place[there], bases[of][there])
    assert torch.equal(after, expected)
    assert shape.channels == 1 or not torch.equal(after, before)


def test_every_place_of_a_window():
    weights, grid = weights_of(SHAPE), SHAPE.grid
    field = grid.receptive_field
    codes = some_windows(field, 10)[0][:field]
    starts, places = np.zeros(field, np.int64), np.arange(field)
    bases = ((codes + 1) % 5).astype(np.uint8)
    _, after = cpu_engine.Substitutions(weights, grid).pairs(
        ChangedWindows(codes, starts, places, bases)
    )
    assert torch.equal(after, whole(weights, grid, codes, starts, places, bases))


def test_bits_depend_neither_on_the_threads_nor_on_where_work_is_cut():
    """More windows, over more bases, than a thread takes at a time."""
    weights, grid = weights_of(SHAPE), SHAPE.grid
    field, rng = grid.receptive_field, np.random.default_rng(1)
    starts = np.sort(np.concatenate([rng.integers(0, 40_000, 300), rng.integers(0, 300, 1500)]))
    codes = np.tile(some_windows(field, 60)[0], 40)[: 40_000 + field]
    places = rng.integers(0, field, len(starts))
    bases = rng.integers(0, 4, len(starts)).astype(np.uint8)
    run = cpu_engine.Substitutions(weights, grid).pairs
    want = run(ChangedWindows(codes, starts, places, bases))
    assert torch.equal(want[0][::50], whole(weights, grid, codes, starts[::50]))
    for n in (2, 3):
        torch.set_num_threads(n)
        got = run(ChangedWindows(codes, starts, places, bases))
        assert all(torch.equal(*pair) for pair in zip(got, want, strict=True))
    torch.set_num_threads(1)
    alone = run(ChangedWindows(codes, starts[700:701], places[700:701], bases[700:701]))
    assert torch.equal(alone[1][0], want[1][700])


def test_no_window():
    weights, grid = weights_of(SHAPE), SHAPE.grid
    codes, starts, places, bases = some_windows(grid.receptive_field, 10)
    before, after = cpu_engine.Substitutions(weights, grid).pairs(
        ChangedWindows(codes, starts[:0], places, bases)
    )
    assert before.shape == after.shape == (0, SHAPE.labels)


@pytest.mark.parametrize("wrong", ["count", "end", "place", "none", "three"])
def test_runs_that_are_not_there_are_refused(wrong):
    weights, grid = weights_of(SHAPE), SHAPE.grid
    field = grid.receptive_field
    codes = some_windows(field, 10)[0][: field + 4]
    starts, places, bases = np.array([0]), np.array([field + 3]), np.zeros(1, np.uint8)
    counts, step = np.array([3]), 2
    run = cpu_engine.Substitutions(weights, grid).pairs
    run(ChangedWindows(codes, starts, places, bases, counts, step))
    if wrong == "count":
        counts[0] = 0
    elif wrong == "end":
        codes = codes[:-1]
    elif wrong == "place":
        places += 1
    else:
        codes, step = np.tile(codes, 2), {"none": 0, "three": 3}[wrong]
    with pytest.raises(ValueError, match="no such window"):
        run(ChangedWindows(codes, starts, places, bases, counts, step))


@pytest.mark.parametrize("wrong", ["order", "end", "begin", "place", "base", "code"])
def test_what_is_not_there_is_refused(wrong):
    weights, grid = weights_of(SHAPE), SHAPE.grid
    codes, starts, places, bases = some_windows(grid.receptive_field, 10)
    if wrong == "order":
        starts = starts[::-1]
    elif wrong == "end":
        codes = codes[:-1]
    elif wrong == "begin":
        starts = starts - 1
    elif wrong == "place":
        places[5] = grid.receptive_field
    elif wrong == "base":
        bases[5] = 5
    else:
        codes[starts[5]] = 5
    with pytest.raises(ValueError, match="coded by more" if wrong == "code" else "no such window"):
        cpu_engine.Substitutions(weights, grid).pairs(ChangedWindows(codes, starts, places, bases))


@pytest.mark.parametrize("stride", [16, 64])
def test_other_grids_are_refused(stride):
    grid = stack_grid(3, 5, stride, 19)
    with pytest.raises(ValueError, match="of one window"):
        cpu_engine.Substitutions(weights_of(SHAPE), grid)
