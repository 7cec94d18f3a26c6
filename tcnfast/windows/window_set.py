"""Window sets: sequences of one length with a label for each TF, in parts that share no base."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..base.arrays import read_arrays
from ..base.disk import save_arrays, write_text
from ..base.errors import TcnfastError
from ..base.run_folder import file_hash
from ..base.tables import read_description
from ..data.splits import SPLIT_PARTS
from ..genome.codes import N
from ..genome.labels import AMBIGUOUS, BOUND

PARTS = SPLIT_PARTS
KINDS = ("site", "gc", "flank", "elsewhere", "shuffle", "given", "other")
SITE, GC, FLANK, ELSEWHERE, SHUFFLE, GIVEN, OTHER = range(len(KINDS))

WINDOWS, ABOUT = "windows.npz", "windows.json"
VERSION = 1
_DTYPES = {
    "codes": np.uint8,
    "labels": np.uint8,
    "part": np.uint8,
    "kind": np.uint8,
    "chrom": np.int16,
    "start": np.int64,
}


@dataclass(frozen=True, eq=False, repr=False)
class WindowSet:
    """n windows of one length and their labels, as arrays.

    ``names``: the labels. ``codes`` uint8 (n, length), 0..4. ``labels`` uint8 (n, labels): UNBOUND,
    BOUND or AMBIGUOUS (to be masked), as in ``tcnfast.genome.labels``. ``part`` and ``kind`` uint8
    (n,): indices into PARTS and KINDS. ``chrom`` int16 (n,), an index into ``chroms``, and
    ``start`` int64 (n,), both -1 where a window has no coordinates; a shuffle has those of the
    window it was made from. A start may be negative: what lies outside the contig is N. ``about``
    (JSON values) says what the set was made from.

    Raises TcnfastError where shapes, types or values do not fit.
    """

    name: str
    names: list[str]
    codes: np.ndarray
    labels: np.ndarray
    part: np.ndarray
    kind: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    chroms: list[str]
    about: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = self._wrong()
        if wrong:
            raise TcnfastError(f"window set {self.name!r}: {wrong}")

    def _wrong(self) -> str | None:
        for what, found in (("labels", self.names), ("chroms", self.chroms)):
            if not isinstance(found, list | tuple) or not all(isinstance(x, str) for x in found):
                return f"{what} must be a list of names"
            if len(set(found)) != len(found):
                return f"{what} names one twice"
        n = len(self.codes)
        shapes = {"codes": (n, self.length), "labels": (n, len(self.names))}
        for name, dtype in _DTYPES.items():
            array, shape = getattr(self, name), shapes.get(name, (n,))
            if array.dtype != dtype or array.shape != shape:
                want = f"{np.dtype(dtype)} {shape}"
                return f"{name} is {array.dtype} {array.shape}, must be {want}"
        highest = {
            "codes": N,
            "labels": AMBIGUOUS,
            "part": len(PARTS) - 1,
            "kind": len(KINDS) - 1,
            "chrom": len(self.chroms) - 1,
        }
        for name, limit in highest.items():
            array = getattr(self, name)
            if array.size and array.max() > limit:
                return f"{name} holds {array.max()}, must be {limit} at most"
        if self.chrom.size and self.chrom.min() < -1:
            return f"chrom holds {self.chrom.min()}, must be -1 at least"
        return None

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return (
            f"WindowSet({self.name!r}, windows: {len(self)}, length: {self.length}, "
            f"labels: {len(self.names)})"
        )

    @property
    def length(self) -> int:
        """Bases of a window."""
        return self.codes.shape[-1]

    def take(self, index: np.ndarray) -> WindowSet:
        """The windows at ``index``, an integer or boolean array."""
        return replace(self, **{name: getattr(self, name)[index] for name in _DTYPES})

    def select(self, part: str) -> WindowSet:
        """The windows of ``part``, one of PARTS."""
        if part not in PARTS:
            raise TcnfastError(f"part {part!r}: must be one of {', '.join(PARTS)}")
        return self.take(self.part == PARTS.index(part))

    def counts(self) -> dict[str, dict]:
        """Of each part: its windows, by kind, and the bound and ambiguous ones of each label."""
        found = {}
        for i, part in enumerate(PARTS):
            here = self.part == i
            labels, kinds = self.labels[here], np.bincount(self.kind[here], minlength=len(KINDS))
            found[part] = {
                "windows": int(here.sum()),
                "kinds": {kind: int(k) for kind, k in zip(KINDS, kinds, strict=True) if k},
                "bound": dict(zip(self.names, (labels == BOUND).sum(0).tolist(), strict=True)),
                "ambiguous": dict(
                    zip(self.names, (labels == AMBIGUOUS).sum(0).tolist(), strict=True)
                ),
            }
        return found

    def save(self, folder: str | Path) -> None:
        """Write windows.npz and windows.json to ``folder``, which is made if need be.

        The same set gives the same bytes.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(folder / WINDOWS, {name: getattr(self, name) for name in _DTYPES})
        about = {
            "version": VERSION,
            "name": self.name,
            "labels": self.names,
            "chroms": self.chroms,
            "length": self.length,
            "counts": self.counts(),
            "about": self.about,
            "files": {WINDOWS: file_hash(folder / WINDOWS)},
        }
        write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n")

    @classmethod
    def open(cls, folder: str | Path) -> WindowSet:
        """The set in ``folder``; TcnfastError where it is none, is damaged, or was changed."""
        folder = Path(folder)
        about = read_description(folder / ABOUT, "windows prepare", VERSION)
        try:
            if file_hash(folder / WINDOWS) != about["files"][WINDOWS]:
                raise TcnfastError(f"{folder / WINDOWS}: is not what {ABOUT} was written for")
            stored = read_arrays(folder / WINDOWS, "windows", "windows prepare")
            arrays = {name: stored[name] for name in _DTYPES}
            words = {name: about[name] for name in ("name", "chroms", "about")}
            return cls(names=about["labels"], **words, **arrays)
        except OSError as error:
            raise TcnfastError(f"{folder / WINDOWS}: cannot be read ({error.strerror})") from None
        except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, TcnfastError):
                raise
            raise TcnfastError(f"{folder}: damaged ({error}); build the windows again") from None
