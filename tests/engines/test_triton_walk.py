"""How training walks along sequences where its tiles stay in registers: which blocks do, that every
place is walked over once, and what is made of the sums. The kernels themselves run in tests/ptx."""

from types import SimpleNamespace

import pytest
import torch
from support.block_cases import WALKS
from support.triton import DEVICE, needs_triton

from tcnfast.engines import triton_walk
from tcnfast.engines.triton_chip import Chip
from tcnfast.engines.triton_layout import PairLayout
from tcnfast.engines.triton_walk import CONVOLVING, GOING_BACK, ROWS, Walk
from tcnfast.engines.triton_weights import sum_parts


@pytest.mark.parametrize("programs", [CONVOLVING, GOING_BACK])
@pytest.mark.parametrize(
    "sequences, places, dilation",
    [(1, 1, 1), (2, 63, 1), (3, 64, 4), (64, 1030, 4), (7, 5000, 16), (300, 3, 1), (2, 700, 512)],
)
def test_every_place_is_walked_over_once(sequences, places, dilation, programs):
    walk = Walk.of(sequences, places, dilation, programs)
    row = torch.arange(walk.rows)
    first = row // dilation * dilation * walk.steps + row % dilation  # tiles.first_output
    walked = (first[:, None] + torch.arange(walk.steps) * dilation).flatten()
    counts = torch.bincount(walked)
    assert (counts == 1).all() and len(counts) >= places
    tiles = -(-walk.rows // ROWS)
    assert walk.programs == sequences * tiles
    if dilation <= ROWS:  # sums of at most so many programs, or of one a sequence
        assert walk.programs < programs + sequences


def call(**changes):
    x = SimpleNamespace(device=torch.device("cpu"))
    usual = dict(x=x, precision="bf16", padded=64, codes=False, taps1=3, taps2=3)
    return SimpleNamespace(**usual | changes)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({}, None),
        (dict(precision="fp16", taps1=2, taps2=2), None),
        (dict(codes=True, taps1=15), None),
        (dict(precision="fp32"), "bf16 or fp16, not fp32"),
        (dict(padded=32), "64 channels, not 32"),
        (dict(taps1=15), "2 to 3 taps, not 15"),
        (dict(taps2=5), "2 to 3 taps, not 5"),
        (dict(taps2=1), "2 to 3 taps, not 1"),
    ],
)
def test_which_blocks_walk(monkeypatch, changes, reason):
    monkeypatch.setattr(triton_walk, "interpreted", lambda: False)
    monkeypatch.setattr(Chip, "of", lambda device: Chip(132, 232_448, True))
    found = triton_walk.why_not(call(**changes))
    assert found is None if reason is None else reason in found


def test_chips_without_wgmma_and_the_interpreter_do_not(monkeypatch):
    assert "no wgmma" in triton_walk.why_not(call())
    monkeypatch.setattr(triton_walk, "interpreted", lambda: False)
    monkeypatch.setattr(Chip, "of", lambda device: Chip(108, 166_912, False))
    assert "no wgmma" in triton_walk.why_not(call())
    monkeypatch.setattr(Chip, "of", lambda device: Chip(132, 232_448, True))
    assert triton_walk.why_not(call()) is None
    monkeypatch.setattr(triton_walk, "IN_REGISTERS", False)
    assert "not asked for it" in triton_walk.why_not(call())


def test_the_table_has_what_differs():
    assert {case.symmetric for case in WALKS} == {False, True}
    assert {case.grid.stride for case in WALKS} == {1, 2}
    assert {case.k for case in WALKS} == {2, 3} and {case.norm for case in WALKS} == {
        "batch",
        "weight",
    }
    assert max(case.grid.dilation for case in WALKS) > 1
    assert any(case.sequences > CONVOLVING for case in WALKS), "groups of programs"
    assert any(case.index == 0 for case in WALKS)


@needs_triton
@pytest.mark.parametrize("channels, k", [(6, 3), (34, 2), (64, 1)])
def test_a_gradient_of_whole_matrices_of_pairs_is_folded(kernels, channels, k):
    """The mean of both that are one weight, the same bits in both places."""
    layout = PairLayout(channels)
    size = layout.padded
    generator = torch.Generator().manual_seed(k)
    partial = torch.randn(3, k, size, size, generator=generator)
    by_tap = layout.unpad(layout.unpad(partial.double().sum(0)).transpose(1, 2))
    whole = by_tap.permute(1, 2, 0)
    got = torch.full((channels, channels, k), torch.nan, device=DEVICE)
    told = SimpleNamespace(halved=False, together=2, halves=False, channels=channels)
    sum_parts(told, partial.to(DEVICE), got)
    mean = (whole + whole.flip(0, 1, 2)) / 2
    torch.testing.assert_close(got.cpu().double(), mean, rtol=1e-5, atol=1e-5)
    assert torch.equal(got, got.flip(0, 1, 2))
    told.halves, half = True, torch.full_like(got[: channels // 2], torch.nan)
    sum_parts(told, partial.to(DEVICE), half)
    assert torch.equal(half, 2 * got[: channels // 2])
