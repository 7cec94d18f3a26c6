"""How a GPU rounds, in numpy: bf16, tf32, and the sums of its matrix instructions.

Shared by the executor of PTX (tests/ptx) and the patch of Triton's interpreter
(support/interpreter.py). What is known of the matrix instructions is from measurements that were
published (Fasi et al., "Numerical behavior of NVIDIA tensor cores", 2021; Khattak and Mikaitis,
2025): products are exact, a sum of one instruction's products and its accumulator is cut off and
not rounded, and of a float32 input the last 13 bits are not looked at.
"""

import numpy as np

TF32_BITS = np.uint32(0xFFFFE000)  # sign, exponent and ten bits behind the point


def _bits(x):
    return np.ascontiguousarray(x, np.float32).view(np.uint32)


def widen(bf16):
    """bf16, as uint16, to float32."""
    return (np.asarray(bf16, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def narrow(x):
    """float32 to bf16, as uint16: to the nearest, ties to even; NaN stays NaN."""
    bits = _bits(x)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (np.where(np.isnan(x), np.uint32(0x7FFF0000), rounded) >> np.uint32(16)).astype(
        np.uint16
    )


def cut_tf32(x):
    """What a matrix instruction sees of a float32 that it is told is tf32."""
    return (_bits(x) & TF32_BITS).view(np.float32)


def nearest_tf32(x):
    """cvt.rna.tf32.f32: to the nearest, ties away from zero."""
    return ((_bits(x) + np.uint32(0x1000)) & TF32_BITS).view(np.float32)


def toward_zero(x):
    """float64 to float32, cut off."""
    rounded = x.astype(np.float32)
    over = np.abs(rounded.astype(np.float64)) > np.abs(x)
    return np.where(over, np.nextafter(rounded, np.float32(0)), rounded)


def instruction(a, b, accumulator, *, cut=True):
    """One matrix instruction: ``accumulator + a @ b`` (float32; leading dimensions are kept), cut
    off to float32, or rounded to the nearest."""
    exact = accumulator.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)
    return toward_zero(exact) if cut else exact.astype(np.float32)


def summed(a, b, total, terms):
    """``total + a @ b`` (m, k), (k, n) by instructions that add up ``terms`` products each."""
    for start in range(0, a.shape[1], terms):
        some = slice(start, start + terms)
        total = instruction(a[:, some], b[some], total)
    return total


TF32_TERMS, HALF_TERMS = 8, 16


def tf32_product(a, b, total):
    """The same in tf32."""
    return summed(cut_tf32(a), cut_tf32(b), total, TF32_TERMS)


def fp32_product(a, b):
    """``a @ b`` as three products of tf32, as Triton's "tf32x3" has it: each input is its nearest
    tf32 and a rest, and the product of both rests is left out."""
    large_a, large_b = nearest_tf32(a), nearest_tf32(b)
    zero = np.zeros((len(a), b.shape[1]), np.float32)
    total = tf32_product(a - large_a, large_b, zero)
    total = tf32_product(large_a, b - large_b, total)
    return tf32_product(large_a, large_b, total)
