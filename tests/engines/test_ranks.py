"""A block in training whose batch is shared by several processes is that of the whole batch: the
same rule, element by element, as for one process (support/block.py)."""

from functools import partial

import pytest
import torch
from support.block import compare, train_together
from support.block_cases import Case, case_name
from support.engine import needs_engine
from support.ranks import in_threads
from support.triton import needs_triton

from tcnfast.base.errors import TcnfastError
from tcnfast.engines import triton_forward
from tcnfast.engines.ranks import ALONE, ranks_named
from tcnfast.engines.training_pass import backend_of
from tcnfast.model.tcn import TCN, TCNConfig

CASES = [
    Case(0, 8, 3, 15, 32, "batch", "centred", 4, 20, 0, 0.3),
    Case(1, 5, 4, 4, 2, "batch", "causal", 6, 41, 1, 0.3),
    Case(2, 17, 3, 3, 1, "batch", "centred", 2, 70),
    Case(1, 6, 3, 3, 1, "weight", "centred", 4, 9, 0, 0.3),
    Case(0, 16, 3, 15, 32, "batch", "centred", 4, 9, 0, 0.3, symmetric=True),
    Case(1, 34, 3, 15, 32, "batch", "centred", 2, 34, 1, 0.3, symmetric=True),
]


@needs_engine
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_a_shared_batch_on_the_engine(case, precision):
    compare(case, precision, together=partial(train_together, 2))


@needs_engine
def test_three_processes():
    compare(CASES[1], "fp32", together=partial(train_together, 3))


@needs_triton
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3], CASES[4]], ids=case_name)
def test_a_shared_batch_on_the_kernels(case):
    compare(case, "fp32", draws=1, together=partial(train_together, 2))


@needs_triton
@pytest.mark.usefixtures("kernels")
def test_more_processes_than_a_program_takes_tiles(monkeypatch):
    monkeypatch.setattr(triton_forward, "SUMMED", 2)
    compare(CASES[1], "fp32", draws=1, together=partial(train_together, 3))


@needs_engine
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[4]], ids=case_name)
def test_norms_of_each_process_alone_are_found(case):
    """What every process would give that took the others' statistics for its own."""

    def own(found):
        return found[:1].expand_as(found)

    with pytest.raises(AssertionError):
        compare(case, "fp32", together=partial(train_together, 2, spoil=own))


def test_only_members_know_their_ranks():
    in_threads(2, lambda ranks: ranks_named(ranks.name))
    with pytest.raises(TcnfastError, match="'thread 0': this process is none of them"):
        ranks_named("thread 0")
    assert ranks_named("") is ALONE
    assert torch.equal(ALONE.total(torch.ones(3)), torch.ones(3))


def test_plain_modules_cannot_share_a_batch():
    """Nothing falls back on the statistics of one process."""
    model = TCN(TCNConfig(labels=["a"], channels=4, blocks=3)).train()
    model.ranks = "some"
    model.blocks[0].register_forward_hook(lambda *_: None)
    codes = torch.zeros(2, model.receptive_field + 8, dtype=torch.uint8)
    with pytest.raises(TcnfastError, match="batch statistics are those of one process"):
        backend_of(model, codes)
