"""The one rule by which a fast path is compared with the truth.

``ref`` is the reference in float64 and ``pt`` the same reference in the tested precision. ``out``
passes if and only if every element satisfies

    |out - ref| <= 2 max|pt - ref| + 2 ulp(max|ref|)

so nobody picks a tolerance: PyTorch's own error is the budget. It is elementwise because a global
score passes a zeroed element at a seam. NaN and infinities must be where ``ref`` has them. What a
ReLU decides may differ where its argument is zero within the rule (``flips``).
"""

import math

import torch


def ulp(value, dtype):
    """Spacing of the numbers of ``dtype`` at ``value``."""
    info = torch.finfo(dtype)
    if value < info.tiny:
        return info.tiny * info.eps
    return info.eps * 2.0 ** math.floor(math.log2(value))


def assert_close(out, ref, pt, *, seam=None, axis=-1):
    """Raise AssertionError, naming the worst coordinate, unless ``out`` passes the rule.

    ``seam``: tiles of this many positions along ``axis`` were computed on their own; a failure
    tells how far from the nearest seam it lies.
    """
    assert ref.dtype == torch.float64, f"the reference is {ref.dtype}, not float64"
    precision = pt.dtype
    out, ref, pt = (tensor.detach().cpu().double() for tensor in (out, ref, pt))
    for name, tensor in (("pt", pt), ("out", out)):
        shapes = f"{name} is {tuple(tensor.shape)}, the reference {tuple(ref.shape)}"
        assert tensor.shape == ref.shape, shapes
        wrong = _pattern(tensor) != _pattern(ref)
        if wrong.any():
            worst = _first(wrong)
            raise AssertionError(
                f"{name}{_at(worst)} = {tensor[worst]}, reference {ref[worst]}: NaN or infinity in "
                f"one alone, at {_count(wrong)}{_where(worst, ref, seam, axis)}"
            )
    finite = ref.isfinite()
    if not finite.any():
        return
    budget, allowed = _allowed(ref, pt, precision)
    error = (out - ref).abs().masked_fill(~finite, 0)
    if (error > allowed).any():
        worst = _first(error == error.max())
        raise AssertionError(
            f"out{_at(worst)} = {out[worst]:.9g}, reference {ref[worst]:.9g}: error "
            f"{error[worst]:.3g} is {error[worst] / allowed:.3g} times the allowed {allowed:.3g} "
            f"(PyTorch's own is {budget:.3g}), at {_count(error > allowed)}"
            f"{_where(worst, ref, seam, axis)}"
        )


def flips(kept, ref, pt):
    """How many of a ReLU's decisions ``kept`` differ from those of the truth, whose arguments are
    ``ref`` and ``pt``. Raises AssertionError where one may not: the argument is not zero within
    what the rule allows it to be wrong by.
    """
    assert kept.shape == ref.shape, f"{tuple(kept.shape)} decisions on {tuple(ref.shape)} arguments"
    budget, allowed = _allowed(ref, pt.double(), pt.dtype)
    wrong = kept != (ref > 0)
    far = wrong & ~(ref.abs() <= allowed)
    if far.any():
        worst = _first(far)
        raise AssertionError(
            f"a ReLU flipped at {list(worst)}, argument {ref[worst]:.9g}, over the allowed "
            f"{allowed:.3g} (PyTorch's own error is {budget:.3g}), at {_count(far)}"
        )
    return int(wrong.sum())


def _allowed(ref, pt, precision):
    """What PyTorch is wrong by, and what ``out`` may be."""
    finite = ref.isfinite()
    budget = (pt - ref)[finite].abs().max().item()
    return budget, 2 * budget + 2 * ulp(ref[finite].abs().max().item(), precision)


def _pattern(tensor):
    return torch.where(tensor.isnan(), 2, tensor.isinf() * tensor.sign().nan_to_num()).int()


def _first(mask):
    return tuple(mask.nonzero()[0].tolist())


def _at(index):
    return f"[{', '.join(map(str, index))}]"


def _count(wrong):
    return f"{int(wrong.sum())} of {wrong.numel()} elements"


def _where(index, ref, seam, axis):
    if seam is None:
        return ""
    into = index[axis] % seam
    distance = min(into, seam - 1 - into)
    return f"; {distance} positions from the nearest seam (every {seam} of axis {axis % ref.ndim})"
