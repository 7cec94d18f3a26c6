"""What gpu-check times of a scan: hits are held against the host's, and the choice between forms of
a block is what was measured."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.kernels import scan_cases, tune
from benchmarks.kernels.tune import REGISTERS, SHARED
from tcnfast.engines.triton_engine import Tiling

pytestmark = pytest.mark.checkout

CUTOFFS = np.array([1.0, np.nan, 2.0], np.float32)
LOGITS = torch.tensor([[1.0, 5.0, 1.9], [0.9, 5.0, 2.5], [3.0, 5.0, 2.0]])
UNKNOWN = torch.tensor([False, False, True])
PLACES, VALUES = torch.tensor([0, 5]), torch.tensor([1.0, 2.5])


def test_hits_of_the_device_are_those_that_the_host_finds():
    scan_cases.compare_hits([PLACES, VALUES], LOGITS, UNKNOWN, CUTOFFS)


@pytest.mark.parametrize(
    "places, values, words",
    [
        (PLACES[:1], VALUES[:1], "1 hits, the host finds 2"),
        (PLACES + 1, VALUES, "2 hits, the host finds 2"),
        (PLACES, torch.nextafter(VALUES, torch.tensor(9.0)), "hit 0 has"),
    ],
)
def test_another_bit_or_place_of_a_hit_is_found(places, values, words):
    with pytest.raises(AssertionError, match=words):
        scan_cases.compare_hits([places, values], LOGITS, UNKNOWN, CUTOFFS)


@pytest.mark.parametrize("shared, chosen", [(3e-6, "True"), (1e-6, "False")])
def test_the_form_of_a_block_is_chosen_by_what_was_measured(capsys, shared, chosen):
    block = SimpleNamespace(forms=(SHARED, REGISTERS))
    found = {
        tune.Variant(SHARED, Tiling(64)): (shared, ""),
        tune.Variant(SHARED, Tiling(32)): (None, "wrong"),
        tune.Variant(REGISTERS, Tiling(64)): (2e-6, ""),
    }
    tune.choose_form([tune.choose("a block", found, block)])
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(f"chosen: a block: {min(shared * 1e6, 2):.1f} us, form=")
    assert second.startswith(f"chosen: IN_REGISTERS = {chosen}: in registers 2.0 us")
    assert (
        third == f"chosen: to paste into tcnfast/engines/triton_engine.py: IN_REGISTERS = {chosen}"
    )


@pytest.mark.parametrize("shared, chosen", [("3.0", "True"), ("1.0", "False")])
def test_the_form_of_training_is_chosen_by_what_was_measured(capsys, shared, chosen):
    rows = [
        {"case": "training, plain", "form": SHARED, "us": shared},
        {"case": "training, plain", "form": REGISTERS, "us": "2.0"},
        {"case": "block, plain", "form": SHARED, "us": "9.0"},
    ]
    tune.choose_training(rows)
    assert f"triton_walk.py: IN_REGISTERS = {chosen}" in capsys.readouterr().out
    tune.choose_training(rows[:1])
    assert capsys.readouterr().out.startswith("not run: training in both forms")


def test_no_form_is_chosen_where_one_does_not_run(capsys):
    tune.choose_form([{SHARED: 1e-6}, {}])
    assert capsys.readouterr().out.startswith("not run: no block ran both")
