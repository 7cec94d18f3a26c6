"""What the kernels of symmetric networks share: rows of pairs and the halved convolution of tiles.

A row of a symmetric network is in pair order: H channels, then their H partners on the other
strand. A tile of rows is two tiles (M, H), u and v, and a convolution takes it as its sums and
differences, s = u + v and d = u - v: README.md has the maths.
"""

import triton
import triton.language as tl

from .tiles import load_taps, relu


@triton.jit
def load_pairs(x, at, length, inside, H: tl.constexpr):
    """Tiles u and v (M, H) of ``x`` (length, 2 H) at positions ``at`` (M,) int64; zeros outside."""
    columns = tl.arange(0, H)
    inside = (inside & (at >= 0) & (at < length))[:, None]
    pointers = x + at[:, None] * (2 * H) + columns[None, :]
    u = tl.load(pointers, mask=inside, other=0.0)
    return u, tl.load(pointers + H, mask=inside, other=0.0)


@triton.jit
def store_pairs(y, at, length, inside, u, v, H: tl.constexpr):
    """Store tiles u and v (M, H) in ``y`` (length, 2 H) at positions ``at`` that are ``inside``."""
    columns = tl.arange(0, H)
    inside = (inside & (at < length))[:, None]
    pointers = y + at[:, None] * (2 * H) + columns[None, :]
    tl.store(pointers, u.to(y.dtype.element_ty), mask=inside)
    tl.store(pointers + H, v.to(y.dtype.element_ty), mask=inside)


@triton.jit
def load_halved_taps(w, K: tl.constexpr, H: tl.constexpr):
    """The 2 K matrices (H, H) of a halved convolution: K that give the sums, then K that give the
    differences."""
    return load_taps(w, 2 * K, H, H)


@triton.jit
def halved_products(ss, ds, taps, K: tl.constexpr, INPUTS: tl.constexpr):
    """Half the sum and half the difference of what a convolution gives for u and for v, float32
    (M, H) each, of K tiles of sums and K of differences. Mirrored taps meet the sum and the
    difference of their tiles."""
    M: tl.constexpr = ss[0].shape[0]
    H: tl.constexpr = ss[0].shape[1]
    if K % 2:
        total = tl.dot(ss[K // 2], taps[0], input_precision=INPUTS)
        difference = tl.dot(ds[K // 2], taps[K], input_precision=INPUTS)
    else:
        total = tl.zeros((M, H), tl.float32)
        difference = tl.zeros((M, H), tl.float32)
    for t in tl.static_range(K // 2):
        near_s, far_s, near_d, far_d = ss[t], ss[K - 1 - t], ds[t], ds[K - 1 - t]
        for_sum = taps[K % 2 + 2 * t :]
        total = tl.dot(near_s + far_s, for_sum[0], total, input_precision=INPUTS)
        total = tl.dot(far_d - near_d, for_sum[1], total, input_precision=INPUTS)
        difference = tl.dot(near_d + far_d, for_sum[K], difference, input_precision=INPUTS)
        difference = tl.dot(far_s - near_s, for_sum[K + 1], difference, input_precision=INPUTS)
    return total, difference


@triton.jit
def halved_convolve(ss, ds, taps, bias, K: tl.constexpr, INPUTS: tl.constexpr):
    """relu(bias + convolution) for u and for v, float32 (M, H)."""
    total, difference = halved_products(ss, ds, taps, K, INPUTS)
    total += bias[None, :]
    return relu(total + difference), relu(total - difference)
