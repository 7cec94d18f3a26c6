"""The project's kernels as Triton compiles them, run in the executor: right numbers, and nothing
found. Errors planted in what was compiled are found.

    TCNFAST_TRITON=/path/to/python make test-all   # also as another Triton compiles them

That Python has Triton 3.6, say, and what the tests need.
"""

import pytest
from support import block_cases, stack
from support.triton import SYMMETRIC_BLOCKS, needs_triton

pytestmark = needs_triton

TARGETS = ("sm_80", "sm_90")
WALKING = {"wgmma_conv", "wgmma_gradients"}  # of training, in registers
# kind, row of its table, precision, target: what differs most, and compiles soonest
FEW = [
    ("scores", 0, "bf16", "sm_90"),
    ("scores", 0, "fp32", "sm_80"),
    ("scores", 1, "fp16", "sm_80"),
    ("scores", 3, "bf16", "sm_80"),
    ("scores", 8, "tf32", "sm_90"),
    ("scores", 9, "bf16", "sm_90"),
    ("training", 1, "bf16", "sm_90"),
    ("training", 1, "bf16", "sm_80"),
    ("training", 11, "bf16", "sm_90"),
    ("symmetric_scores", 0, "bf16", "sm_90"),
    ("symmetric_training", 0, "bf16", "sm_90"),
    ("walks", 0, "bf16", "sm_90"),
]
TABLES = {
    "scores": stack.TABLE,
    "training": block_cases.TABLE + block_cases.LONG,
    "symmetric_scores": stack.SYMMETRIC,
    "symmetric_training": SYMMETRIC_BLOCKS,
    "walks": block_cases.WALKS,
}
ALL = [
    pytest.param(kind, row, precision, target, marks=pytest.mark.slow)
    for kind, table in TABLES.items()
    for row in range(len(table))
    for precision in ("bf16", "fp32", "tf32")
    for target in TARGETS
    if (kind, row, precision, target) not in FEW
    # float32 of wide blocks is compiled for minutes
    and (precision == "bf16" or table[row][kind.endswith("training")] <= 34)
    # tiles in registers are of 16 bits and on chips with wgmma
    and (kind != "walks" or (precision, target) == ("bf16", "sm_90"))
]


def passes(worker, kind, row, precision, target, **options):
    case = TABLES[kind][row]
    result = worker(kind, case=case, precision=precision, target=target, **options)
    assert result["kernels"]
    if kind == "walks" and target == "sm_90":
        assert WALKING <= set(result["kernels"])
    assert (result["wrong"], result["fault"], result["findings"]) == (None, None, [])


@pytest.mark.parametrize("kind, row, precision, target", FEW + ALL)
def test_kernels_as_compiled_are_right(worker, kind, row, precision, target):
    often = (kind, row, precision, target) in FEW and not kind.endswith("scores")
    passes(worker, kind, row, precision, target, **{"few": True} if often else {})


# the smallest block in which both kernels that walk take more than a step
SMALL = block_cases.Case(3, 64, 3, 3, 8, "batch", "centred", 1, 70, 0, 0.1)

# labels, precision, target, stacks, maximum, symmetric
HITS = [
    (3, "bf16", "sm_90", 2, False, False),
    (112, "bf16", "sm_80", 2, True, False),
    (65, "bf16", "sm_90", 1, False, True),
    (257, "fp16", "sm_90", 2, True, False),
    (257, "bf16", "sm_80", 1, False, False),
    (112, "fp32", "sm_90", 2, False, False),
    (112, "tf32", "sm_80", 2, False, False),
]


@pytest.mark.parametrize(
    "case", HITS[:1] + [pytest.param(case, marks=pytest.mark.slow) for case in HITS[1:]], ids=str
)
def test_hits_as_compiled_are_those_of_the_logits(worker, case):
    finds_hits(worker, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", HITS, ids=str)
def test_hits_as_another_triton_compiles_them_are_those_of_the_logits(other_worker, case):
    finds_hits(other_worker, case)


def finds_hits(worker, case):
    names = "labels", "precision", "target", "stacks", "maximum", "symmetric"
    result = worker("hits", **dict(zip(names, case, strict=True)))
    assert set(result["kernels"]) == {"head", "count_hits", "write_hits"}
    assert (result["wrong"], result["fault"], result["findings"]) == (None, None, [])


@pytest.mark.slow
@pytest.mark.parametrize("kind, row", [("scores", 2), ("scores", 3), ("symmetric_scores", 2)])
def test_tiles_in_registers_are_right_in_fp16(worker, kind, row):
    passes(worker, kind, row, "fp16", "sm_90")


@pytest.mark.slow
@pytest.mark.parametrize("row", range(len(stack.TABLE)))
@pytest.mark.parametrize("target", TARGETS)
def test_the_minus_strand_as_compiled_is_right(worker, row, target):
    passes(worker, "scores", row, "bf16", target, strand="-")


@pytest.mark.parametrize(
    "kind, row",
    [
        pytest.param(kind, row, marks=[] if row == 0 else pytest.mark.slow)
        for kind in ("scores", "symmetric_scores")
        for row in range(len(TABLES[kind]))
    ],
)
def test_blocks_whose_tiles_are_not_in_registers_are_right(worker, kind, row):
    passes(worker, kind, row, "bf16", "sm_90", in_registers=False)


@pytest.mark.slow
@pytest.mark.parametrize("row", range(len(block_cases.WALKS)))
def test_training_in_registers_is_right_in_fp16_and_so_is_what_stands_in(worker, row):
    """On a chip with wgmma, where training is asked not to keep its tiles in registers."""
    case = block_cases.WALKS[row]
    for precision, in_registers in (("fp16", True), ("bf16", False)):
        asked = dict(case=case, precision=precision, target="sm_90", in_registers=in_registers)
        result = worker("walks", **asked)
        assert (WALKING <= set(result["kernels"])) == in_registers
        assert (result["wrong"], result["fault"], result["findings"]) == (None, None, [])


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "kind, row", [(kind, row) for kind, table in TABLES.items() for row in range(len(table))]
)
def test_kernels_as_another_triton_compiles_them_are_right(other_worker, kind, row, target):
    passes(other_worker, kind, row, "bf16", target)


BARRIER, FENCE = r"bar\.sync[^;]*;", r"fence\.proxy[^;]*;"
UNMASKED_LOAD, UNMASKED_STORE = (rf"@%p\d+ ({access}\.global)" for access in ("ld", "st"))
SWIZZLE = r"xor\.b32 "
ADDED = r"add(?=[.\w]*\.bf16)"
NO_WAIT = "wgmma.wait_group.sync.aligned 1"
BOUND = r"setp\.lt\.s64"
READY = r"wgmma\.fence[^;]*;"
ALL_READY = rf"(?s){READY}(.*?){READY}(.*?){READY}"  # of the three taps of a convolution
WAIT = r"wgmma\.wait_group\.sync\.aligned 0"


RARELY_PLANTED = [
    ("sm_90", "wgmma_gradients", BARRIER, "", (0, -4), "race: read after write"),
    ("sm_90", "wgmma_gradients", BARRIER, "", -1, "race: read after write"),
    ("sm_90", "wgmma_gradients", WAIT, NO_WAIT, -1, "a wgmma under way"),
    ("sm_90", "wgmma_gradients", UNMASKED_LOAD, r"\1", -1, "outside of every tensor"),
    ("sm_90", "wgmma_gradients", BOUND, "setp.le.s64", -1, "outside of every tensor"),
    ("sm_90", "wgmma_conv", BARRIER, "", -1, "race: read after write"),
    ("sm_90", "wgmma_conv", FENCE, "", -1, "without fence.proxy.async"),
    ("sm_90", "wgmma_conv", WAIT, NO_WAIT, -1, "a wgmma under way"),
    ("sm_90", "wgmma_conv", UNMASKED_STORE, r"\1", 0, "outside of every tensor"),
]


@pytest.mark.parametrize(
    "target, kernel, pattern, replacement, which, found",
    [
        ("sm_90", "block", BARRIER, "", 0, "race: write after read"),
        ("sm_90", "block", BARRIER, "", 1, "race: read after write"),
        ("sm_90", "block", BARRIER, "", 2, "race: write after read"),
        ("sm_80", "block", BARRIER, "", 0, "race: write after read"),
        ("sm_80", "block", BARRIER, "", 1, "race: read after write"),
        ("sm_90", "block", FENCE, "", 1, "without fence.proxy.async"),
        ("sm_90", "block", WAIT, NO_WAIT, -1, "a wgmma under way"),
        ("sm_90", "block", UNMASKED_LOAD, r"\1", -1, "outside of every tensor"),
        ("sm_80", "block", UNMASKED_LOAD, r"\1", -1, "outside of every tensor"),
        ("sm_90", "block", UNMASKED_STORE, r"\1", 0, "outside of every tensor"),
        ("sm_90", "block", BOUND, "setp.le.s64", 0, "outside of every tensor"),
        ("sm_80", "block", BOUND, "setp.le.s64", 0, "outside of every tensor"),
        ("sm_90", "head", SWIZZLE, "or.b32 ", 0, "out["),
        ("sm_80", "block", SWIZZLE, "or.b32 ", 0, "out["),
        ("sm_90", "wgmma_block", BARRIER, "", -1, "race: read after write"),
        ("sm_90", "wgmma_block", FENCE, "", -1, "without fence.proxy.async"),
        ("sm_90", "wgmma_block", WAIT, NO_WAIT, 0, "a wgmma under way"),
        ("sm_90", "wgmma_block", WAIT, NO_WAIT, -1, "a wgmma under way"),
        ("sm_90", "wgmma_block", ALL_READY, r"\1\2", 1, "changed since wgmma.fence"),
        ("sm_90", "wgmma_block", UNMASKED_LOAD, r"\1", -1, "outside of every tensor"),
        ("sm_90", "wgmma_block", UNMASKED_STORE, r"\1", 0, "outside of every tensor"),
        ("sm_90", "wgmma_block", BOUND, "setp.le.s64", 2, "outside of every tensor"),
        ("sm_90", "wgmma_halved_block", BARRIER, "", -1, "race: read after write"),
        ("sm_90", "wgmma_halved_block", FENCE, "", -1, "without fence.proxy.async"),
        ("sm_90", "wgmma_halved_block", WAIT, NO_WAIT, -1, "a wgmma under way"),
        ("sm_90", "wgmma_halved_block", ADDED, "sub", 0, "out["),
        ("sm_90", "wgmma_halved_block", BOUND, "setp.le.s64", -1, "outside of every tensor"),
        ("sm_90", "wgmma_gradients", BARRIER, "", -2, "race: read after write"),
        ("sm_90", "wgmma_gradients", BARRIER, "", (1, -3), "race: write after read"),
        ("sm_90", "wgmma_gradients", FENCE, "", -1, "without fence.proxy.async"),
        ("sm_90", "wgmma_gradients", UNMASKED_STORE, r"\1", 0, "outside of every tensor"),
        ("sm_90", "wgmma_conv", BARRIER, "", (-2, -3), "race: write after read"),
        ("sm_90", "wgmma_conv", UNMASKED_LOAD, r"\1", -1, "outside of every tensor"),
        *(pytest.param(*planted, marks=pytest.mark.slow) for planted in RARELY_PLANTED),
    ],
)
def test_planted_errors_are_found(worker, target, kernel, pattern, replacement, which, found):
    """``which`` of the matches: of several the first that is found, since versions of Triton put
    their barriers in other places (the first number is of 3.9, the second of 3.6 and 3.7)."""
    kind, case = "scores", TABLES["scores"][0]
    if "halved" in kernel:
        kind, case = "symmetric_scores", TABLES["symmetric_scores"][0]
    if kernel in WALKING:
        kind, case = "walks", SMALL
    in_registers = kernel.startswith("wgmma")
    asked = dict(precision="bf16", target=target, in_registers=in_registers)
    said = []
    for place in which if isinstance(which, tuple) else (which,):
        planted = dict(kernel=kernel, pattern=pattern, replacement=replacement, which=place)
        result = worker(kind, case=case, planted=planted, **asked)
        said += [what for _, what, *_ in result["findings"]]
        said += [result["fault"] or "", result["wrong"] or ""]
        if any(found in what for what in said):
            return
    pytest.fail(f"only {said}")
