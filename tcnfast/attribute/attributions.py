"""Attributions of one label: what every base of a window adds to the logit at its centre, beside
the place of the window in the genome, so that coordinates are never lost."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..base.arrays import read_arrays
from ..base.disk import save_arrays
from ..base.errors import TcnfastError
from ..genome.codes import N

# of numpy's types, in a file; the others hold float
_KINDS = {"label": "U", "method": "U", "chrom": "U", "start": "i", "codes": "u"}


@dataclass(frozen=True, eq=False)
class Attributions:
    """Windows of one label, in the order of the regions they were asked for.

    Windows lie on the plus strand of the genome, 0-based; a logit is that of the middle base of its
    window. ``hypothetical``: what each of the four bases would add at each place;
    :attr:`projected`: what the base of the sequence adds.
    """

    label: str
    method: str  # in words, with its settings
    chrom: np.ndarray  # str (n,)
    start: np.ndarray  # int64 (n,): first base of the window, below 0 where it begins in the N
    codes: np.ndarray  # uint8 (n, L): A 0, C 1, G 2, T 3, N 4
    hypothetical: np.ndarray  # float32 (n, 4, L)
    logit: np.ndarray  # float32 (n,): the model's logit there

    def __len__(self) -> int:
        return len(self.start)

    @property
    def width(self) -> int:
        """Bases of a window."""
        return self.codes.shape[1]

    @property
    def centre(self) -> np.ndarray:
        """Base that each logit stands at, int64 (n,)."""
        return self.start + self.width // 2

    @property
    def projected(self) -> np.ndarray:
        """What the base that is there adds, float32 (n, L); 0 at N."""
        return projected(self.hypothetical, self.codes)

    def save(self, path: str | Path) -> None:
        """Write one compressed npz file, whose arrays are called as the fields; no pickle."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays["chrom"] = np.asarray(self.chrom, np.str_)
        save_arrays(path, arrays)

    @classmethod
    def open(cls, path: str | Path) -> Attributions:
        """Read the file of :meth:`save`. Raises TcnfastError that says what is wrong with it."""
        stored = read_arrays(path, "attributions", "attribute")
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in stored]
        if missing:
            raise TcnfastError(f"{path}: no attributions of tcnfast ({missing[0]!r} is missing)")
        arrays = {name: stored[name] for name in names}
        n, width = arrays["start"].size, (*arrays["codes"].shape, 0)[-2]
        shapes = dict(label=(), method=(), chrom=(n,), start=(n,), codes=(n, width))
        shapes |= dict(hypothetical=(n, 4, width), logit=(n,))
        for name, shape in shapes.items():
            found, kinds = arrays[name], _KINDS.get(name, "f")
            if found.shape != shape:
                raise TcnfastError(f"{path}: {name} is {found.shape}, not {shape}")
            if found.dtype.kind not in kinds:
                raise TcnfastError(f"{path}: {name} holds {found.dtype}")
            if kinds == "f" and not np.isfinite(found).all():
                raise TcnfastError(f"{path}: {name} holds NaN or infinity; attribute anew")
        if arrays["codes"].max(initial=0) > N:
            raise TcnfastError(
                f"{path}: codes hold {arrays['codes'].max()}, and {N} is the largest"
            )
        return cls(str(arrays.pop("label")), str(arrays.pop("method")), **arrays)


def projected(hypothetical: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """float32 (n, 4, L) at the bases of uint8 codes (n, L): float32 (n, L); 0 at N."""
    there = np.minimum(codes, 3)[:, None].astype(np.intp)
    values = np.take_along_axis(hypothetical, there, axis=1)[:, 0]
    return np.where(codes == N, np.float32(0), values)
