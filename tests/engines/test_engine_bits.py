"""The same bits for every chunk, number of threads, batch and cut, on every instruction set."""

import pytest
import torch
from support.engine import (
    ENGINES,
    ISAS,
    Shape,
    every_engine,
    needs_engine,
    random_codes,
    random_weights,
    symmetric_weights,
)

from tcnfast.engines import cpu_engine
from tcnfast.engines.cpu_engine import ISA_VARIABLE

pytestmark = needs_engine

# a stack whose convolutions have odd reaches, and one with whole tiles of channels; both strides
STACKS = [
    Shape(channels=5, kernel_size=4, first_kernel=10, blocks=4, stride=1),
    Shape(channels=32, kernel_size=3, first_kernel=15, blocks=6, stride=8, alignment="causal"),
    Shape(channels=17, kernel_size=2, first_kernel=2, blocks=3, stride=64, labels=17),  # apart
]
every_stack = pytest.mark.parametrize("shape", STACKS, ids=["dense", "pruned", "windows-apart"])


@pytest.fixture
def prepare(monkeypatch):
    """prepare(isa, precision, shape, chunk): codes to logits on this instruction set."""

    def prepare(isa, precision, shape, chunk=0):
        monkeypatch.setenv(ISA_VARIABLE, isa)
        return cpu_engine.prepare(random_weights(shape), shape.grid, precision, chunk=chunk)

    return prepare


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa in cpu_engine.BF16_ISAS])
@every_stack
def test_sets_with_bf16_products_have_the_fp32_of_the_set_below(prepare, isa, shape):
    """So that other tests in fp32 leave them out."""
    codes = random_codes(2, 4000)
    assert torch.equal(*(prepare(one, "fp32", shape)(codes) for one in (isa, "avx512")))


@every_stack
@every_engine
def test_bits_do_not_depend_on_the_chunk(prepare, isa, precision, shape):
    grid, weights = shape.grid, random_weights(shape)
    codes = random_codes(1, 4000)
    want = prepare(isa, precision, shape, chunk=10**6)(codes)
    assert want.isfinite().all() and want.std() > 1e-2
    for chunk in (1, 2, 7, 64, 1000):
        assert cpu_engine.pack(weights, grid, precision, chunk=chunk).chunk == chunk
        assert torch.equal(prepare(isa, precision, shape, chunk)(codes), want), f"chunk {chunk}"


@pytest.mark.parametrize("shape", STACKS[:2], ids=["dense", "pruned"])
@every_engine
def test_bits_do_not_depend_on_whether_the_default_chunk_is_taken(prepare, isa, precision, shape):
    run = prepare(isa, precision, shape)
    chunk = cpu_engine.pack(random_weights(shape), shape.grid, precision).chunk
    codes = random_codes(1, 2 * chunk + chunk // 3)  # three chunks, the last one short
    want = prepare(isa, precision, shape, chunk=10**6)(codes)
    assert torch.equal(run(codes), want)


@pytest.mark.parametrize("batch", [1, 2, 5])
@every_stack
@every_engine
def test_bits_do_not_depend_on_the_threads(prepare, isa, precision, shape, batch):
    run = prepare(isa, precision, shape, chunk=100)
    # a sequence is cut where every piece has a receptive field to itself, see csrc/cpu/stack.cpp
    length = 10 * max(shape.grid.receptive_field, shape.stride) + 77
    codes = random_codes(batch, length)
    assert shape.grid.n_scores(length) >= 8
    torch.set_num_threads(1)
    want = run(codes)
    for n in (2, 3, 8):
        torch.set_num_threads(n)
        assert torch.equal(run(codes), want), f"{n} threads"


def test_bits_do_not_depend_on_the_threads_where_each_has_many_pieces(prepare):
    shape = Shape(channels=4, kernel_size=2, first_kernel=2, blocks=3, stride=4)
    run = prepare(*ENGINES[0], shape)
    codes = random_codes(1, 64 * 2 * 9 * shape.grid.receptive_field)  # nine pieces for each of two
    torch.set_num_threads(1)
    want = run(codes)
    torch.set_num_threads(2)
    assert torch.equal(run(codes), want)


@every_stack
@every_engine
def test_bits_do_not_depend_on_the_batch(prepare, isa, precision, shape):
    run = prepare(isa, precision, shape)
    codes = random_codes(17, shape.grid.receptive_field + 5 * shape.stride + 3 % shape.stride)
    want = run(codes)
    for size in (1, 5, 16):
        assert torch.equal(torch.cat([run(part) for part in codes.split(size)]), want)


@every_stack
@every_engine
def test_bits_do_not_depend_on_the_cuts(prepare, isa, precision, shape):
    grid, stride = shape.grid, shape.stride
    run = prepare(isa, precision, shape, chunk=100)
    codes = random_codes(1, grid.receptive_field + 150 * stride)
    want = run(codes)[0]
    for steps in (1, 7, 64, 100):
        starts = range(0, len(want), steps)
        cuts = [slice(j * stride, (j + steps - 1) * stride + grid.receptive_field) for j in starts]
        parts = [run(codes[:, cut])[0] for cut in cuts]
        assert torch.equal(torch.cat(parts), want), f"cut every {steps} scores"


def gapped_codes(length):
    """Runs of N as long as a window and as short as one base, at both ends and between."""
    codes = random_codes(1, length)
    at = 0
    for known, gap in ((0, 300), (7, 64), (300, 65), (1, 900), (64, 63), (29, 2_000), (500, 1)):
        codes[:, at + known : at + known + gap] = 4
        at += known + gap
    codes[:, -200:] = 4
    return codes


@every_stack
@every_engine
def test_rows_that_see_only_n_have_the_same_bits(prepare, isa, precision, shape):
    """A chunk of one position copies no row: there are too few of them."""
    codes = gapped_codes(6_000)
    want = prepare(isa, precision, shape, chunk=1)(codes)
    assert want.isfinite().all() and len(want[0].unique(dim=0)) > 20
    for chunk in (0, 64, 1000, 10**6):
        run = prepare(isa, precision, shape, chunk)
        assert torch.equal(run(codes), want), f"chunk {chunk}"
        assert torch.equal(run(codes), want), f"chunk {chunk}, with the row kept from before"


@pytest.mark.parametrize("lists", [True, False])
@every_engine
def test_symmetric_rows_that_see_only_n_have_the_same_bits(monkeypatch, isa, precision, lists):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    shape = Shape(channels=12, kernel_size=3, first_kernel=15, blocks=5, stride=8)
    args = symmetric_weights(shape), shape.grid, precision
    codes = gapped_codes(6_000)
    one, many = (cpu_engine.prepare(*args, chunk=n, lists=lists) for n in (1, 700))
    assert torch.equal(one(codes), many(codes))
