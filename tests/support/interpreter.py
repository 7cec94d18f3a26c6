"""Triton's interpreter mended for tests: bf16, and products as a GPU's matrix units take them.

Of bf16 the interpreter keeps the bits in integers, and multiplies, adds and converts these. Here
bf16 is widened to float32 before it is computed with, and rounded to the nearest even after. With
``matrix_units`` products are those of support/rounding.py: inputs and sums cut off.
"""

import importlib.util
from contextlib import contextmanager
from functools import partial

import numpy as np

from support.rounding import HALF_TERMS, fp32_product, narrow, summed, tf32_product, widen
from tcnfast.engines import triton_engine

_matrix_units = False


def on_matrix_units():
    """Whether the kernels multiply float32 as a GPU does."""
    return _matrix_units or not triton_engine.interpreted()


@contextmanager
def mended(*, matrix_units=False):
    """Within it the interpreter computes bf16, and the kernels may be asked for it. On a GPU there
    is nothing to mend."""
    global _matrix_units
    if importlib.util.find_spec("triton") is None or not triton_engine.interpreted():
        yield
        return
    from triton.runtime import interpreter

    builder, patch_tensor = interpreter.InterpreterBuilder, interpreter._patch_lang_tensor
    changes = {
        "cast_impl": _cast_impl,
        "create_fp_to_fp": _create_fp_to_fp,
        "binary_op": _binary_op,
        "create_dot": partial(_create_dot, matrix_units),
        "get_bf16": _get_bf16,
    }
    before = {name: getattr(builder, name, None) for name in changes}
    interpreter._patch_lang_tensor = partial(_patch_tensor, patch_tensor)
    refuse, triton_engine.why_not_interpreted = triton_engine.why_not_interpreted, _nothing
    units, _matrix_units = _matrix_units, matrix_units
    for name, change in changes.items():
        setattr(builder, name, _bound(change, before[name]))
    try:
        yield
    finally:
        triton_engine.why_not_interpreted, _matrix_units = refuse, units
        interpreter._patch_lang_tensor = patch_tensor
        for name, method in before.items():
            if method is None:
                delattr(builder, name)
            else:
                setattr(builder, name, method)


def _nothing(precision):
    """Nothing is refused."""


def _patch_tensor(original, tensor, *scope):
    """Triton 3.6 takes int() of an array of one number, which numpy 2.5 refuses."""
    original(tensor, *scope)
    tensor.__index__ = lambda self: int(self.handle.data.item())


def _bound(change, original):
    def method(self, *args):
        return change(original and partial(original, self), *args)

    return method


def _get_bf16(_original, value):
    """A constant, which Triton 3.6 does not know."""
    import triton.language as tl

    return _handle(narrow(np.array([value], np.float32)), tl.bfloat16)


def _is_bf16(*types):
    import triton.language as tl

    return tl.bfloat16 in [type_.scalar for type_ in types]


def _handle(data, type_):
    from triton.runtime.interpreter import TensorHandle

    return TensorHandle(np.asarray(data), type_.scalar)


def _cast_impl(original, source, to):
    if not _is_bf16(source.dtype, to) or source.dtype.scalar == to.scalar:
        return original(source, to)
    if _is_bf16(to):
        return _handle(narrow(source.data.astype(np.float32)), to)
    from triton.runtime.interpreter import _get_np_dtype

    return _handle(widen(source.data).astype(_get_np_dtype(to)), to)


def _create_fp_to_fp(original, source, to, rounding):
    if _is_bf16(source.dtype, to):
        return _cast_impl(None, source, to)
    return original(source, to, rounding)


def _binary_op(original, a, b, operation):
    if not _is_bf16(a.dtype):
        return original(a, b, operation)
    import triton.language as tl

    result = operation(widen(a.data), widen(b.data))
    if result.dtype == bool:
        return _handle(result, tl.int1)
    return _handle(narrow(result), tl.bfloat16)


def _create_dot(matrix_units, original, a, b, accumulator, precision, most):
    x, y = (widen(t.data) if _is_bf16(t.dtype) else t.data for t in (a, b))
    if not matrix_units:
        if not _is_bf16(a.dtype):
            return original(a, b, accumulator, precision, most)
        return _handle(np.matmul(x, y) + accumulator.data, accumulator.dtype)
    total = np.broadcast_to(accumulator.data, (len(x), y.shape[1])).astype(np.float32)
    kind = str(precision).rpartition(".")[2].lower()  # of an enumeration of the compiler's
    if not a.dtype.scalar.is_fp32():
        result = summed(x, y, total, HALF_TERMS)
    elif kind == "tf32":
        result = tf32_product(x, y, total)
    elif kind == "tf32x3":
        result = fp32_product(x, y) + total
    else:
        return original(a, b, accumulator, precision, most)
    return _handle(result, accumulator.dtype)
