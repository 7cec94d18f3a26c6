"""The executor on kernels of a few lines: what it computes, and that it finds what it is there
for."""

import shutil
import subprocess

import numpy as np
import pytest
from support.rounding import narrow, widen

from ptx.launch import launch
from ptx.program import Fault, Program

HEAD = """
.version 8.7
.target sm_90a
.address_size 64
.extern .shared .align 16 .b8 memory[];
.visible .entry tiny(
    .param .u64 .ptr .global .align 1 tiny_param_0,
    .param .u64 .ptr .global .align 1 tiny_param_1,
    .param .u32 tiny_param_2
)
.reqntid THREADS, 1, 1
{
    .reg .pred %p<9>;
    .reg .b16 %rs<9>;
    .reg .b32 %r<30>;
    .reg .b64 %rd<9>;
    ld.param.u64 %rd0, [tiny_param_0];
    ld.param.u64 %rd1, [tiny_param_1];
    ld.param.u32 %r0, [tiny_param_2];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd0, %rd2; // this thread's word of the first tensor
    add.s64 %rd4, %rd1, %rd2; // and of the second
    mov.b32 %r2, memory;
    shl.b32 %r3, %r1, 2;
    add.s32 %r4, %r2, %r3; // and of shared memory
"""
# each warp writes its words, and reads those of another
EXCHANGE = """
    ld.global.b32 %r5, [%rd3];
    st.shared.b32 [%r4], %r5;
    bar.sync 0;
    xor.b32 %r6, %r3, 128;
    add.s32 %r6, %r2, %r6;
    ld.shared.b32 %r7, [%r6];
    bar.sync 0;
    st.shared.b32 [%r4], %r7;
    st.global.b32 [%rd4], %r7;
    ret;
"""


def ran(body, x, y, number=0, threads=64, shared=1024, grid=(1,)):
    text = HEAD.replace("THREADS", str(threads)) + body + "}\n"
    return launch(Program(text), [x, y, number], grid, shared)


def kinds(result):
    return {kind for kind, _ in result.findings}


@pytest.fixture
def words():
    return np.arange(64, dtype=np.uint32), np.zeros(64, np.uint32)


def test_a_kernel_that_is_right_leaves_no_findings(words):
    x, y = words
    result = ran(EXCHANGE, x, y)
    assert not result.findings
    np.testing.assert_array_equal(y, x.reshape(2, 32)[::-1].reshape(-1))
    assert result.counts["st"] == 3 and result.counts["ret"] == 1


@pytest.mark.parametrize("which, race", [(0, "read after write"), (1, "write after read")])
def test_a_barrier_left_out_is_a_race(words, which, race):
    parts = EXCHANGE.split("    bar.sync 0;\n")
    body = parts[0] + ("" if which == 0 else "    bar.sync 0;\n") + parts[1]
    body += ("" if which == 1 else "    bar.sync 0;\n") + parts[2]
    assert any(race in kind for kind in kinds(ran(body, *words)))


def test_warps_that_write_one_byte_are_a_race(words):
    body = EXCHANGE.replace("st.shared.b32 [%r4], %r7", "st.shared.b32 [%r2], %r7")
    found = kinds(ran(body, *words))
    assert "threads of one instruction write different values to one byte" in found


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[%rd3]", "[%rd3+4]", "outside of every tensor"),  # the last thread, by one word
        ("[%rd4]", "[%rd4+-4]", "outside of every tensor"),
        ("[%rd3]", "[%rd3+2]", "misaligned access to global"),
        ("[%r6]", "[%r6+1024]", "outside of shared memory"),
        ("[%r6]", "[%r6+2]", "misaligned access to shared"),
        ("%r7, [%r6]", "%r7, [%r9]", "read before it was written"),
        ("xor.b32", "brev.b32", "unknown instruction"),
    ],
)
def test_faults_stop_it(words, old, new, message):
    with pytest.raises(Fault, match=message):
        ran(EXCHANGE.replace(old, new), *words)


def test_bytes_that_nobody_wrote_are_found(words):
    body = EXCHANGE.replace("[%r6]", "[%r6+256]")
    assert "reads shared memory that nobody wrote" in kinds(ran(body, *words))


@pytest.mark.parametrize(
    "address, found",
    [("%rd4", "two programs write one byte"), ("%rd3", "reads what another program wrote")],
)
def test_programs_that_meet_in_global_memory_are_found(words, address, found):
    body = EXCHANGE.replace("[%rd4]", f"[{address}]")
    assert found in kinds(ran(body, *words, grid=(2,)))


DIVERGENT = """
    setp.lt.u32 %p1, %r1, %r0;
    mov.u32 %r5, 7;
    @!%p1 bra $there;
    mov.u32 %r5, 9;
$there:
    st.global.b32 [%rd4], %r5;
    ret;
"""


def test_threads_that_part_meet_again(words):
    x, y = words
    assert not ran(DIVERGENT, x, y, number=40).findings
    np.testing.assert_array_equal(y, np.where(x < 40, 9, 7))


def test_a_barrier_that_not_all_reach_is_found(words):
    body = DIVERGENT.replace("mov.u32 %r5, 9;", "bar.sync 0;")
    with pytest.raises(Fault, match="not all threads reach"):
        ran(body, *words, number=40)


def test_a_loop_ends(words):
    x, y = words
    body = """
    mov.u32 %r5, 0;
$more:
    add.s32 %r5, %r5, %r1;
    sub.s32 %r0, %r0, 1;
    setp.ne.s32 %p1, %r0, 0;
    @%p1 bra $more;
    st.global.b32 [%rd4], %r5;
    ret;
"""
    ran(body, x, y, number=5)
    np.testing.assert_array_equal(y, 5 * x)


THREAD = np.arange(64, dtype=np.uint32)


def pack(x):
    half = narrow(x.view("f4")).astype("u4")
    return half | half << 16


def by_warp(x, reduce):
    return np.repeat(reduce(x.reshape(-1, 32), axis=1).astype(x.dtype), 32)


@pytest.mark.parametrize(
    "code, expected",
    [
        ("add.s32 %r6, %r5, -3;", lambda x: x - 3),
        ("mul.hi.u32 %r6, %r5, 0x80000000;", lambda x: x // 2),
        ("mad.lo.s32 %r6, %r5, 5, %r1;", lambda x: 5 * x + THREAD),
        ("shl.b32 %r6, %r5, 33;", lambda x: 0 * x),
        ("shr.s32 %r6, %r5, 4;", lambda x: x.view(np.int32) >> 4),
        ("bfe.u32 %r6, %r5, 3, 7;", lambda x: x >> 3 & 127),
        ("prmt.b32 %r6, %r5, 0, 0x0123;", lambda x: x.byteswap()),
        ("shf.l.wrap.b32 %r6, %r5, %r5, 8;", lambda x: (x << 8) | (x >> 24)),
        ("popc.b32 %r6, %r5;", lambda x: np.array([int(n).bit_count() for n in x])),
        ("redux.sync.add.s32 %r6, %r5, -1;", lambda x: by_warp(x, np.sum)),
        ("redux.sync.max.s32 %r6, %r5, -1;", lambda x: by_warp(x.view(np.int32), np.max)),
        ("rem.s32 %r6, %r5, 7;", lambda x: np.fmod(x.view(np.int32), 7)),
        ("div.s32 %r6, %r5, 7;", lambda x: np.trunc(x.view(np.int32) / 7).astype(np.int32)),
        ("cvt.rn.bf16x2.f32 %r6, %r5, %r5;", pack),
        ("max.NaN.f32 %r6, %r5, 0f00000000;", lambda x: np.maximum(x.view("f4"), 0)),
        ("max.f32 %r6, %r5, 0f00000000;", lambda x: np.fmax(x.view("f4"), 0)),
        ("shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1;", lambda x: x[THREAD ^ 1]),
        ("shfl.sync.up.b32 %r6, %r5, 4, 0, -1;", lambda x: x[THREAD - 4 * (THREAD % 32 > 3)]),
        (
            "setp.gt.f32 %p1, %r5, 0f3F800000; selp.b32 %r6, 1, 2, %p1;",
            lambda x: 2 - (x.view("f4") > 1),
        ),
        (
            "xor.b32 %r6, %r1, 0x3F803F80; set.eq.bf16x2.bf16x2 %r6, %r6, 0x3F803F81;",
            lambda x: np.where(THREAD == 1, 0x3F803F80, 0x3F800000),
        ),
        (
            "and.b32 %r6, %r1, 1; or.b32 %r6, %r6, 0x3C003C00; set.eq.f16x2.f16x2 %r6, %r6, %r6;",
            lambda x: np.full(64, 0x3C003C00),
        ),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_instructions_compute_what_numpy_does(code, expected):
    x = np.random.default_rng(0).integers(0, 2**32, 64, np.uint32)
    x[3] = np.float32("nan").view(np.uint32)
    y = np.zeros(64, np.uint32)
    ran(f"ld.global.b32 %r5, [%rd3]; {code} st.global.b32 [%rd4], %r6; ret;", x, y)
    with np.errstate(all="ignore"):
        want = np.asarray(expected(x))
    want = want.view(np.uint32) if want.dtype.itemsize == 4 else want.astype(np.uint32)
    nan = np.isnan(want.view("f4")) & np.isnan(y.view("f4"))
    np.testing.assert_array_equal(y[~nan], want[~nan])


COPY = """
    cp.async.ca.shared.global [%r4], [%rd3], 4;
    cp.async.commit_group;
    cp.async.wait_group 0;
    bar.sync 0;
    xor.b32 %r6, %r3, 128;
    add.s32 %r6, %r2, %r6;
    ld.shared.b32 %r7, [%r6];
    st.global.b32 [%rd4], %r7;
    ret;
"""


def test_copies_arrive_at_their_wait(words):
    x, y = words
    assert not ran(COPY, x, y).findings
    np.testing.assert_array_equal(y, x.reshape(2, 32)[::-1].reshape(-1))
    found = kinds(ran(COPY.replace("cp.async.wait_group 0;", ""), *words))
    assert {"race: reads what a copy under way writes", "ends while a copy is under way"} <= found
    found = kinds(ran(COPY.replace("bar.sync 0;", ""), *words))
    assert "race: read after write without a barrier" in found


# A (64, 16) of bf16 in shared memory, 32 bytes a row, times B (16, 8) behind it: %r10 to %r13
WGMMA = """
    mov.b64 %rd5, DESCRIPTOR_A;
    mov.b64 %rd6, DESCRIPTOR_B;
    FILL
    fence.proxy.async.shared::cta;
    bar.sync 0;
    mov.b32 %r10, 0f00000000;
    mov.b32 %r11, %r10;
    mov.b32 %r12, %r10;
    mov.b32 %r13, %r10;
    add.f32 %r13, %r13, %r10;
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16
        {%r10, %r11, %r12, %r13}, %rd5, %rd6, 1, 1, 1, 0, 0;
    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;
    mul.wide.u32 %rd7, %r1, 16;
    add.s64 %rd7, %rd1, %rd7;
    st.global.v4.b32 [%rd7], {%r10, %r11, %r12, %r13};
    ret;
"""
FILL = "\n".join(  # 640 words of the first tensor, 128 a time
    f"ld.global.b32 %r5, [%rd3+{at}]; st.shared.b32 [%r4+{at}], %r5;" for at in range(0, 2304, 512)
)


def wgmma(edit=lambda body: body):
    """Findings, and the product (64, 8) with its truth."""
    rng = np.random.default_rng(0)
    a, b = (narrow(rng.standard_normal((n, 16)).astype(np.float32)) for n in (64, 8))
    memory = np.zeros(1280, np.uint16)
    for start, matrix in ((0, a), (2048, b)):
        for row, values in enumerate(matrix):
            for half in range(2):  # 16 bytes; bit 4 of an address is mixed with bit 7
                at = start + 32 * row + 16 * half
                at ^= (at >> 7 & 1) << 4
                memory[at // 2 : at // 2 + 8] = values[8 * half : 8 * half + 8]
    swizzle, stride = 3 << 62, 256 >> 4 << 32
    body = WGMMA.replace("FILL", FILL).replace("DESCRIPTOR_A", str(swizzle | stride))
    body = edit(body.replace("DESCRIPTOR_B", str(swizzle | stride | 2048 >> 4)))
    y = np.full((4, 32, 4), np.nan, np.float32)
    result = ran(body, memory.view(np.uint32), y, threads=128, shared=2560)
    warp, lane, register = np.indices(y.shape)
    found = np.zeros((64, 8))
    found[16 * warp + lane // 4 + 8 * (register // 2), lane % 4 * 2 + register % 2] = y
    return result, found, widen(a).astype(float) @ widen(b).astype(float).T


def test_wgmma_multiplies_what_its_descriptors_say():
    result, found, want = wgmma()
    assert not result.findings
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "old, new, kind",
    [
        ("fence.proxy.async.shared::cta;", "", "without fence.proxy.async"),
        ("bar.sync 0;", "", "read after write without a barrier"),
        ("wgmma.fence.sync.aligned;", "", "changed since wgmma.fence"),
        ("wgmma.wait_group.sync.aligned 0;", "", "reads a register that a wgmma under way"),
        (
            "wgmma.wait_group.sync.aligned 0;",
            "st.shared.b32 [%r4], %r5;",
            "overwrites what a wgmma",
        ),
        ("ret;", "st.shared.b32 [%r4], %r5; ret;", "write after read without a barrier"),
        ("ret;", "bar.sync 0; st.shared.b32 [%r4], %r5; ret;", None),
        ("fence.proxy.async.shared::cta;\n    bar.sync 0;", "bar.sync 0; fence.proxy.async;", None),
    ],
)
def test_what_wgmma_needs_is_seen(old, new, kind):
    result, _, _ = wgmma(lambda body: body.replace(old, new, 1))
    assert any(kind in found for found in kinds(result)) if kind else not result.findings


FIRST = "64n8 {%r10, %r11, %r12, %r13}, {%r20, %r21, %r22, %r23}"


@pytest.mark.parametrize(
    "second, kind",
    [
        (FIRST, None),
        ("64n8 {%r14, %r15, %r16, %r17}, {%r20, %r21, %r22, %r23}", None),
        ("64n8 {%r14, %r15, %r16, %r17}, {%r10, %r11, %r12, %r13}", "one under way writes"),
        ("64n8 {%r20, %r21, %r22, %r23}, {%r14, %r15, %r16, %r17}", "another under way reads"),
        (
            "64n16 {%r10, %r11, %r12, %r13, %r14, %r15, %r16, %r17}, {%r20, %r21, %r22, %r23}",
            "of another shape",
        ),
        ("mov.b32 %r24, %r20", "reads a register that a wgmma under way reads"),
        ("mov.b32 %r20, %r1", "writes a register that a wgmma under way reads"),
        ("mov.b32 %r10, %r1", "writes a register that a wgmma under way writes"),
    ],
)
def test_registers_of_a_wgmma_under_way_are_its_own(second, kind):
    """Of two products whose fragments of A lie in registers, the second before the first's wait."""

    def edit(body):
        before, after = body.split("wgmma.mma_async")
        ready = "".join(f"mov.b32 %r{n}, 1065369472;\n" for n in range(14, 24))  # bfloat16 ones
        text = before.replace("wgmma.fence", ready + "wgmma.fence")
        for one in (FIRST, second):
            shape, registers = one.split(" ", 1)
            if shape.startswith("64n"):
                one = f"wgmma.mma_async.sync.aligned.m{shape}k16.f32.bf16.bf16 {registers}"
                one += ", %rd6, 1, 1, 1, 0"
            text += f"{one};\n"
        return text + after.split(";", 1)[1]

    result, _, _ = wgmma(edit)
    assert len(kinds(result)) == (kind is not None)
    assert all(kind in found for found in kinds(result))


def test_a_wrong_swizzle_gives_wrong_numbers():
    old, new = (str(swizzle << 62 | 16 << 32) for swizzle in (3, 2))
    _, found, want = wgmma(lambda body: body.replace(old, new))
    assert np.abs(found - want).max() > 0.1


def test_a_descriptor_beyond_shared_memory_is_a_fault():
    old, new = (str(3 << 62 | 16 << 32 | at >> 4) for at in (2048, 2432))
    with pytest.raises(Fault, match="outside of shared memory"):
        wgmma(lambda body: body.replace(old, new))


CUDA = """
extern "C" __global__ void __launch_bounds__(128) reversed(const float* x, float* y, int n) {
  __shared__ float part[128];
  int i = blockIdx.x * 128 + threadIdx.x;
  part[threadIdx.x] = i < n ? x[i] : 0.f;
  __syncthreads();
  float sum = 0.f;
  for (int j = 0; j <= threadIdx.x; ++j) sum += part[j];
  if (i < n) y[n - 1 - i] = sum;
}
"""


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc, of the CUDA toolkit, is not here")
@pytest.mark.parametrize("sync", [True, False])
def test_what_nvcc_made_runs(tmp_path, sync):
    """With threads that part: each has a loop of its own length."""
    (tmp_path / "k.cu").write_text(CUDA if sync else CUDA.replace("  __syncthreads();\n", ""))
    command = ["nvcc", "-ptx", "-arch=sm_90a", "-Wno-deprecated-gpu-targets", "k.cu"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    x, y = np.random.default_rng(0).random(200, np.float32), np.zeros(200, np.float32)
    result = launch(Program((tmp_path / "k.ptx").read_text()), [x, y, 200], (2,))
    want = np.concatenate([x[:128].cumsum(), x[128:].cumsum()])[::-1]
    np.testing.assert_allclose(y, want, rtol=1e-5)
    raced = any("race: read after write" in kind for kind in kinds(result))
    assert raced == (not sync)
