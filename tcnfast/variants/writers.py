"""Scored alleles as a table (TSV or Parquet) or as the VCF they came from, with INFO fields."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base.disk import write_bytes, writing
from ..base.errors import TcnfastError
from ..base.extras import install
from ..base.jit import jit
from ..base.options import setting
from ..base.tables import as_number
from ..scan.narrowpeak import put_number
from .effect_rows import Rows
from .records import Chunk

HEAD = (
    *("chrom", "pos", "id", "ref", "alt", "kind", "ref_match"),
    *("top_label", "top_delta_logit", "top_delta_prob", "gained", "lost"),
)
INFO = (
    ("TCN_LABEL", "A", "String", "label with the largest effect"),
    ("TCN_DELTA", "A", "Float", "that effect: logit with ALT minus logit with REF"),
    ("TCN_DPROB", "A", "Float", "its probability with ALT minus that with REF"),
    ("TCN_GAINED", "A", "String", "labels that are called with ALT alone, joined by |"),
    ("TCN_LOST", "A", "String", "labels that are called with REF alone, joined by |"),
    ("TCN_REF_MISMATCH", "0", "Flag", "REF is not in the genome: not scored"),
)
WIDTH = 24  # bytes of a number at most, its separator too
_TAB, _MINUS, _POINT = b"\t-."
_N, _A = b"NA"
_COLUMNS = b"#CHROM POS ID REF ALT QUAL FILTER INFO".split()
_ALLELE_COLUMNS = 5  # of them, which every record has
_OUR_KEYS = {name.encode() for name, *_ in INFO}
_OUR_LINE = re.compile(b"##INFO=<ID=(" + b"|".join(sorted(_OUR_KEYS)) + b")[,>]")
_NOT_SCORED = (".",) * 5, False
_ESCAPES = str.maketrans({x: f"%{ord(x):02X}" for x in ":;=%,|\t\r\n "})


class TsvWriter:
    """Parts are text; ``columns`` are written of every label, ``delta_logit:CTCF@K562``."""

    name = "variants.tsv"

    def __init__(self, labels: Sequence[str], columns: Sequence[str], header: list[bytes]) -> None:
        self.columns = columns
        names = [f"{column}:{label}" for column in columns for label in labels]
        self.head = "\t".join([*HEAD, *names]).encode() + b"\n"

    def write_part(self, path: Path, chunk: Chunk, rows: Rows) -> None:
        tails = rows_as_text(np.concatenate([rows.columns[name] for name in self.columns], 1))
        lines = zip(_head_rows(rows), tails, strict=True)
        text = b"".join("\t".join(map(str, x)).encode() + y + b"\n" for x, y in lines)
        write_bytes(path, text)

    def join(self, parts: list[Path], out: Path) -> None:
        _join(self.head, parts, out)


class VcfWriter:
    """Every record of the VCF in its place; alleles that are not scored have ``.``."""

    name = "variants.vcf"

    def __init__(self, labels: Sequence[str], columns: Sequence[str], header: list[bytes]) -> None:
        own = [
            f'##INFO=<ID={name},Number={number},Type={type_},Description="tcnfast: {words}">'
            for name, number, type_, words in INFO
        ]
        others = [line for line in header[:-1] if not _OUR_LINE.match(line)]
        lines = [*others, *(line.encode() for line in own), _padded(header[-1], _COLUMNS)]
        self.head = b"".join(line + b"\n" for line in lines)

    def write_part(self, path: Path, chunk: Chunk, rows: Rows) -> None:
        told: dict[int, dict[bytes, tuple]] = {}
        for index, (allele, row) in enumerate(zip(rows.alleles, _head_rows(rows), strict=True)):
            info = _info(row, *(rows.named(index, call) for call in (1, -1)))
            told.setdefault(allele.record, {})[allele.alt] = info
        lines = [_annotated(line, told.get(index)) for index, line in enumerate(chunk.lines)]
        write_bytes(path, b"".join(line + b"\n" for line in lines))

    def join(self, parts: list[Path], out: Path) -> None:
        _join(self.head, parts, out)


class ParquetWriter:
    """One row group a chunk: the columns of HEAD, then ``column:label`` float32."""

    name = "variants.parquet"

    def __init__(self, labels: Sequence[str], columns: Sequence[str], header: list[bytes]) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise TcnfastError(
                f"{setting('format', 'parquet')} needs pyarrow: {install('parquet')}"
            ) from None
        self.pyarrow = pyarrow
        self.columns = columns

    def write_part(self, path: Path, chunk: Chunk, rows: Rows) -> None:
        heads = _head_rows(rows)
        table = {name: [row[i] for row in heads] for i, name in enumerate(HEAD)}
        table["pos"] = np.array(table["pos"], np.int64)
        table["ref_match"] = rows.matches
        for name in ("top_delta_logit", "top_delta_prob"):
            table[name] = np.array([as_number(x) for x in table[name]], np.float32)
        for name in self.columns:
            for index, label in enumerate(rows.labels):
                table[f"{name}:{label}"] = rows.columns[name][:, index]
        with writing(path):
            self.pyarrow.parquet.write_table(self.pyarrow.table(table), path)

    def join(self, parts: list[Path], out: Path) -> None:
        parquet = self.pyarrow.parquet
        schema = parquet.read_schema(parts[0])
        with writing(out), parquet.ParquetWriter(out, schema) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part, schema=schema))


WRITERS = {"tsv": TsvWriter, "vcf": VcfWriter, "parquet": ParquetWriter}


def _head_rows(rows: Rows) -> list[tuple]:
    """The columns of HEAD of every row."""
    top, out = rows.top(), []
    for index, allele in enumerate(rows.alleles):
        label, effect, change = "NA", "NA", "NA"
        if top[index] >= 0:
            label = rows.labels[top[index]]
            effect = f"{rows.effect[index, top[index]]:.4f}"
            change = f"{rows.change[index, top[index]]:.4f}"
        calls = [_listed(rows.named(index, call)) for call in (1, -1)]
        place = (allele.chrom, allele.pos + 1, allele.id, allele.ref.decode(), allele.alt.decode())
        match = "yes" if rows.matches[index] else "no"
        out.append((*place, allele.kind, match, label, effect, change, *calls))
    return out


def _listed(labels: Sequence[str]) -> str:
    """Names in one column, with commas between them alone."""
    return ",".join(label.replace(",", "%2C") for label in labels) or "."


def _annotated(line: bytes, told: dict[bytes, tuple] | None) -> bytes:
    """A VCF record with our INFO fields in place of older ones of ours; ``told``: those of its
    alleles that were looked at, None where none was. Columns that it lacks up to INFO are added."""
    fields = line.split(b"\t")
    if len(fields) < len(_COLUMNS):
        if len(fields) < _ALLELE_COLUMNS:  # no record
            return line
        fields = _padded(line, [b"."] * len(_COLUMNS)).split(b"\t")
    place = len(_COLUMNS) - 1
    old = [x for x in fields[place].split(b";") if x.partition(b"=")[0] not in _OUR_KEYS]
    info = [x for x in old if x not in (b".", b"")]
    if told is not None:
        found = [told.get(alt.upper(), _NOT_SCORED) for alt in fields[4].split(b",")]
        names = [name for name, number, *_ in INFO if number == "A"]
        columns = zip(*(values for values, _ in found), strict=True)
        info += [_field(*x).encode() for x in zip(names, columns, strict=True)]
        info += [b"TCN_REF_MISMATCH"] if any(mismatch for _, mismatch in found) else []
    fields[place] = b";".join(info) or b"."
    return b"\t".join(fields)


def _field(name: str, values: Sequence[str]) -> str:
    return f"{name}={','.join(values)}"


def _padded(line: bytes, columns: Sequence[bytes]) -> bytes:
    """A line with the last of these columns where it has fewer."""
    return b"\t".join([line, *columns[line.count(b"\t") + 1 :]])


def _info(row: tuple, gained: Sequence[str], lost: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Values of one allele, and whether its REF is not in the genome; ``row`` of HEAD."""
    if row[6] == "no":
        return _NOT_SCORED[0], True
    label, effect, change = row[7:10]
    calls = ["|".join(map(_escaped, x)) or "." for x in (gained, lost)]
    return (_escaped(label), effect, change, *calls), False


def _escaped(text: str) -> str:
    """As VCF 4.3 asks of values of INFO."""
    return text.translate(_ESCAPES)


def _join(head: bytes, parts: list[Path], out: Path) -> None:
    needed = len(head) + sum(part.stat().st_size for part in parts)
    with writing(out, needed), open(out, "wb") as file:
        file.write(head)
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, file, 2**20)


def rows_as_text(values: np.ndarray) -> list[bytes]:
    """Lines of float32 (n, columns): tab before each number, four decimals, NA for NaN. Compiled: a
    VCF of a million variants has a hundred million numbers."""
    values = np.ascontiguousarray(values, np.float32)
    out = np.empty(values.size * WIDTH, np.uint8)
    ends = np.empty(len(values), np.int64)
    _format(values, out, ends)
    text = out[: ends[-1] if len(ends) else 0].tobytes()
    begins = np.append(0, ends[:-1]).tolist() if len(ends) else []
    return [text[begin:end] for begin, end in zip(begins, ends.tolist(), strict=True)]


@jit
def _format(values, out, ends):
    at = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            out[at] = _TAB
            at = _put(out, at + 1, values[row, column])
        ends[row] = at


@jit
def _put(out, at, value):
    if np.isnan(value):
        out[at], out[at + 1] = _N, _A
        return at + 2
    scaled = np.int64(np.rint(np.float64(abs(value)) * 10_000))
    if value < 0 and scaled > 0:
        out[at] = _MINUS
        at += 1
    at = put_number(out, at, scaled // 10_000, 1)
    out[at] = _POINT
    return put_number(out, at + 1, scaled % 10_000, 4)
