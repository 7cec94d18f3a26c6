"""Triton's interpreter mended for tests: bf16, and products as a GPU's matrix units take them;
and quick.

Of bf16 the interpreter keeps the bits in integers, and multiplies, adds and converts these. Here
bf16 is widened to float32 before it is computed with, and rounded to the nearest even after.
Products are summed in double precision: numpy's of single precision hang on the processor and on
how wide a tile is. With ``matrix_units`` they are those of support/rounding.py: inputs and sums cut
off.
"""

import dataclasses
import importlib.util
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

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

    quicken()
    builder = interpreter.InterpreterBuilder
    changes = {
        "cast_impl": _cast_impl,
        "create_fp_to_fp": _create_fp_to_fp,
        "binary_op": _binary_op,
        "create_dot": partial(_create_dot, matrix_units),
        "get_bf16": _get_bf16,
    }
    before = {name: getattr(builder, name, None) for name in changes}
    refuse, triton_engine.why_not_interpreted = triton_engine.why_not_interpreted, _nothing
    units, _matrix_units = _matrix_units, matrix_units
    for name, change in changes.items():
        setattr(builder, name, _bound(change, before[name]))
    try:
        yield
    finally:
        triton_engine.why_not_interpreted, _matrix_units = refuse, units
        for name, method in before.items():
            if method is None:
                delattr(builder, name)
            else:
                setattr(builder, name, method)


def quicken():
    """Spare the interpreter two thirds of its time.

    It puts its words in place of ``triton.language``'s, going through that whole module, at every
    launch and wherever a kernel calls a function, ``tl.sum`` or one of ours: here once and for
    all. For a check of integers that overflow, which it then does not make, it computes every sum
    and product of integers twice. It writes its table of types anew whenever it asks for one.
    """
    from triton import language
    from triton.runtime import interpreter

    if interpreter._patch_lang is _nothing_to_patch:
        return
    everything = SimpleNamespace(__globals__={"tl": language, "core": language.core})
    interpreter._patch_lang(everything)
    # Triton 3.6 takes int() of an array of one number, which numpy 2.5 refuses
    language.tensor.__index__ = lambda self: int(self.handle.data.item())
    builder = interpreter.interpreter_builder
    builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)
    assert not builder.options.debug, "integers that overflow are looked for"
    interpreter._get_np_dtype = _by_name(interpreter._get_np_dtype)
    interpreter._patch_lang = _nothing_to_patch
    language.block_type.__init__ = _once_for_each(language.block_type.__init__)


def _by_name(np_dtype):
    types = {}

    def found(type_):
        name = type_.scalar.name
        if name not in types:
            types[name] = np_dtype(type_.scalar)
        return types[name]

    return found


def _once_for_each(initialise):
    """Types of tiles look through their shapes, three times an operation: here once a shape."""
    known = {}

    def fill(self, element, shape):
        key = element.name, *(getattr(size, "value", size) for size in shape)
        if key not in known:
            initialise(self, element, shape)
            known[key] = dict(vars(self))
        vars(self).update(known[key])

    return fill


def _nothing_to_patch(function):
    from triton.runtime.interpreter import _LangPatchScope

    return _LangPatchScope()


def _nothing(precision):
    """Nothing is refused."""


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
        product = np.matmul(x, y, dtype=np.float64).astype(accumulator.data.dtype)
        return _handle(product + accumulator.data, accumulator.dtype)
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
