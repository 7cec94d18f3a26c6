"""The one rule by which a fast path is compared with the truth.

``ref`` is the reference in float64 and ``pt`` the same reference in the tested precision. ``out``
passes if and only if every element satisfies

    |out - ref| <= 2 max|pt - ref| + 2 ulp(max|ref|)

so nobody picks a tolerance: PyTorch's own error is the budget. It is elementwise because a global
score passes a zeroed element at a seam. NaN and infinities must be where ``ref`` has them. What a
ReLU decides may differ where its argument is zero within the rule (``flips``).

The matrix units of a GPU compute float32 in two ways that PyTorch's processor does not know, so
there ``pt`` is the reference with products taken as they take them (``MatrixUnits``): tf32, whose
inputs lose their last 13 bits, cut off; and fp32 as three products of tf32, which loses the product
of both inputs' rests, 2^-22 of the whole. Sums of either are cut off, not rounded, after every
eight products, an error that always has the same sign. No number is picked for it: what the
reference loses that way is the budget, and the rule is the same.
"""

import math

import torch
from support.rounding import fp32_product, tf32_product
from torch.utils._python_dispatch import TorchDispatchMode


def ulp(value, dtype):
    """Spacing of the numbers of ``dtype`` at ``value``."""
    info = torch.finfo(dtype)
    if value < info.tiny:
        return info.tiny * info.eps
    return info.eps * 2.0 ** math.floor(math.log2(value))


class MatrixUnits(TorchDispatchMode):
    """float32 convolutions (N, C, 1, L) and matrix products, and their gradients, within it are
    those of a GPU's matrix units in ``precision``, "tf32" or "fp32" (three products of tf32)."""

    def __init__(self, precision):
        super().__init__()
        self.precision = precision

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        aten = torch.ops.aten
        own = {
            aten.mm.default: self.product,
            aten.addmm.default: lambda c, a, b: c + self.product(a, b),
            aten.convolution.default: self.convolution,
            aten.convolution_backward.default: self.convolution_backward,
        }.get(function)
        if own and args[0].dtype == torch.float32:
            return own(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def product(self, a, b):
        """``a @ b`` (m, k), (k, n)."""
        a, b = a.detach().contiguous().numpy(), b.detach().contiguous().numpy()
        if self.precision == "tf32":
            return torch.from_numpy(tf32_product(a, b, torch.zeros(len(a), b.shape[1]).numpy()))
        return torch.from_numpy(fp32_product(a, b))

    def convolution(self, x, weight, bias, stride, padding, dilation, *_):
        columns, k = self._columns(x, weight, stride, dilation), weight.shape[-1]
        taps = weight.squeeze(2).permute(2, 1, 0).reshape(-1, len(weight))  # tap by tap
        rows = self.product(columns, taps).unflatten(0, (len(x), -1))
        y = rows.permute(0, 2, 1).unsqueeze(2)
        assert not any(padding) and k * x.shape[1] == columns.shape[1]
        return y if bias is None else y + bias[:, None, None]

    def convolution_backward(
        self, dy, x, weight, _bias, stride, _padding, dilation, _transposed, _zeros, _groups, wanted
    ):
        grads = dy.squeeze(2).permute(0, 2, 1).flatten(0, 1)
        (c, c_in), k = weight.shape[:2], weight.shape[-1]
        dx = dw = None
        if wanted[0]:
            taps = weight.squeeze(2).permute(0, 2, 1).reshape(c, -1)
            parts = self.product(grads, taps).view(*dy.shape[::3], k, c_in)
            dx = torch.zeros_like(x)
            span = (dy.shape[-1] - 1) * stride[-1] + 1
            for m in range(k):
                first = m * dilation[-1]
                dx[:, :, 0, first : first + span : stride[-1]] += parts[:, :, m].permute(0, 2, 1)
        if wanted[1]:
            columns = self._columns(x, weight, stride, dilation)
            dw = self.product(columns.T, grads).view(k, c_in, c).permute(2, 1, 0).unsqueeze(2)
        return dx, dw, grads.sum(0) if wanted[2] else None

    @staticmethod
    def _columns(x, weight, stride, dilation):
        """(N L', k C_in): the inputs of every output, tap by tap."""
        reach = (weight.shape[-1] - 1) * dilation[-1] + 1
        windows = x.squeeze(2).unfold(2, reach, stride[-1])[..., :: dilation[-1]]
        return windows.permute(0, 2, 3, 1).reshape(-1, weight.shape[-1] * x.shape[1])


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
