"""Published sets of one label, without coordinates: those of DeepBind, and of GUE."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..base.errors import TcnfastError
from ..base.run_folder import named_hash
from ..base.talk import count
from ..genome.codes import encode, reverse_complement
from ..genome.intervals import read_lines
from ..genome.labels import BOUND, UNBOUND
from ..genome.shuffle import dinucleotide_shuffles
from .window_leaks import check_leaks, same_sequences
from .window_set import GIVEN, PARTS, SHUFFLE, WindowSet

log = logging.getLogger(__name__)

TRAIN, VALID, TEST = range(len(PARTS))
_DEEPBIND = ("FoldID", "EventID", "seq", "Bound")
_GUE = ("sequence", "label")


def read_deepbind(
    positives: str | Path, test: str | Path, *, valid: float = 0.1, seed: int = 1
) -> WindowSet:
    """A DeepBind set: its file ``..._AC.seq[.gz]`` of positives to train on, and ``..._B.seq[.gz]``
    of positives and their shuffles to test on.

    Each training positive gets one dinucleotide shuffle, drawn by ``seed``, as the test file has
    it; a share ``valid`` of the positives, with their shuffles, validates. They are drawn at
    random, for there are no coordinates: equal sequences stay together, but windows that overlap
    may be parted. Kinds are "given" and "shuffle". Raises TcnfastError, with path and line, for
    missing columns, letters that are no nucleotides, and sequences of several lengths.
    """
    if not 0 < valid < 1:
        raise TcnfastError(f"valid {valid}: must be above 0 and below 1")
    codes, bound = _read_table(positives, _DEEPBIND, "\t")
    if not bound.all():
        raise TcnfastError(f"{positives}: holds negatives; it must be a file of positives (AC)")
    held, classes = _read_table(test, _DEEPBIND, "\t", codes.shape[1])
    if classes.all() or not classes.any():
        raise TcnfastError(f"{test}: holds one class only; it must be a test file (B)")
    rng = np.random.default_rng(seed)
    part = _grouped_parts(codes, valid, rng)
    shuffled = dinucleotide_shuffles(codes, rng)
    n, m = len(codes), len(held)
    name = Path(positives).name.split(".seq")[0].removesuffix("_AC")
    return _given_set(
        name,
        np.concatenate([codes, shuffled, held]),
        np.concatenate([bound, np.zeros(n, bool), classes]),
        np.concatenate([part, part, np.full(m, TEST, np.uint8)]),
        np.concatenate([np.full(n, GIVEN), np.full(n, SHUFFLE), np.full(m, GIVEN)]),
        {"set": "deepbind", "seed": seed, "valid": valid, "files": _hashes(positives, test)},
    )


def read_gue(train: str | Path, dev: str | Path, test: str | Path) -> WindowSet:
    """A set of the GUE benchmark: CSV files (``sequence,label``; plain or gzip) of its parts.

    Its dev part is "valid". All windows are of the kind "given". Raises TcnfastError as
    ``read_deepbind``.
    """
    codes, bound, part = [], [], []
    for i, path in enumerate((train, dev, test)):
        rows, classes = _read_table(path, _GUE, ",", codes[0].shape[1] if codes else None)
        if classes.all() or not classes.any():
            raise TcnfastError(f"{path}: holds one class only; needs labels 0 and 1")
        codes.append(rows)
        bound.append(classes)
        part.append(np.full(len(rows), i, np.uint8))
    codes = np.concatenate(codes)
    about = {"set": "gue", "files": _hashes(train, dev, test)}
    name = Path(train).name.split(".")[0].removesuffix("_train")
    kinds = np.full(len(codes), GIVEN)
    return _given_set(name, codes, np.concatenate(bound), np.concatenate(part), kinds, about)


def _given_set(
    name: str, codes: np.ndarray, bound: np.ndarray, part: np.ndarray, kind: np.ndarray, about: dict
) -> WindowSet:
    n = len(codes)
    labels = np.where(bound, BOUND, UNBOUND).astype(np.uint8)[:, None]
    nowhere = np.full(n, -1, np.int16), np.full(n, -1, np.int64)
    kind = kind.astype(np.uint8)
    made = WindowSet(name, [name], codes, labels, part, kind, *nowhere, [], about)
    check_leaks(made)
    about["copies"] = same_sequences(made)
    if about["copies"]:
        words = "%s: sequences of valid or test that an earlier part has too: %d"
        log.info(words, name, about["copies"])
    return made


def _grouped_parts(codes: np.ndarray, valid: float, rng: np.random.Generator) -> np.ndarray:
    """TRAIN or VALID for each row, uint8 (n,); equal rows, on either strand, get the same."""
    both = np.stack([codes, reverse_complement(codes)])
    keys = [min(a.tobytes(), b.tobytes()) for a, b in zip(*both, strict=True)]
    groups: dict[bytes, int] = {}
    group = np.array([groups.setdefault(key, len(groups)) for key in keys])
    held = rng.permutation(len(groups))[: max(1, round(valid * len(groups)))]
    return np.where(np.isin(group, held), VALID, TRAIN).astype(np.uint8)


def _read_table(
    path: str | Path, columns: tuple[str, ...], separator: str, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Codes uint8 (n, length) and classes bool (n,) of a table; its last two columns are these.
    ``length``: that of the training file's sequences, where another file is read."""
    sequence, label = columns[-2:]
    rows: list[np.ndarray] = []
    classes: list[bool] = []
    for number, row in _rows(path, columns, separator):
        letters = np.frombuffer(row[sequence].encode("ascii", "replace"), np.uint8)
        codes = encode(letters)
        bad = np.flatnonzero((codes == 4) & ((letters | 32) != ord("n")))
        if bad.size:
            letter = row[sequence][bad[0]]
            raise TcnfastError(
                f"{path}:{number}: letter {letter!r} at {bad[0] + 1} is none of ACGTN"
            )
        if not codes.size:
            raise TcnfastError(f"{path}:{number}: empty sequence")
        length = length or codes.size
        if codes.size != length:
            where = "before" if rows else "of the training file"
            raise TcnfastError(
                f"{path}:{number}: sequence of {codes.size} bases, those {where} have {length}; a "
                "window set has one length"
            )
        if row[label].strip() not in ("0", "1"):
            raise TcnfastError(f"{path}:{number}: {label} {row[label]!r} must be 0 or 1")
        rows.append(codes)
        classes.append(row[label].strip() == "1")
    if not rows:
        raise TcnfastError(f"{path}: holds no sequence")
    return np.stack(rows), np.array(classes)


def _rows(
    path: str | Path, columns: tuple[str, ...], separator: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a table, plain or gzip, with these columns in its header."""
    try:
        text = b"\n".join(read_lines(path)).decode()
    except UnicodeDecodeError:
        raise TcnfastError(f"{path}: is no text table") from None
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    header = next(reader, [])
    missing = [name for name in columns if name not in header]
    if missing:
        raise TcnfastError(
            f"{path}:1: column {missing[0]!r} is missing; its first line must name "
            f"{', '.join(columns)}"
        )
    try:
        for fields in filter(None, reader):
            if len(fields) != len(header):
                words = f"{count(len(fields), 'column')}, its header has {len(header)}"
                raise TcnfastError(f"{path}:{reader.line_num}: {words}")
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise TcnfastError(f"{path}:{reader.line_num}: {error}; is it a table?") from None


def _hashes(*paths: str | Path) -> list[dict]:
    return [{"name": name, "sha256": sha256} for name, sha256 in map(named_hash, paths)]
