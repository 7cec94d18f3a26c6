"""Many genomes in one run: a table that names them, an output folder each, one summary."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..base.disk import FULL
from ..base.errors import TcnfastError, some
from ..base.file_names import file_names
from ..base.options import Run, setting
from ..base.run_folder import RECORD, read_json
from ..base.tables import read_frame, read_table, write_rows
from ..base.talk import count
from . import ScanOptions
from .scan_folder import ScanFolder

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

TABLE = "genomes.tsv"
COLUMNS = ("name", "state", "bases", "calls", "seconds", "problem")
DONE, FAILED = "done", "failed"


class GenomeRow(NamedTuple):
    """A genome of the table: its name and files, and its own model and regions, if it has any."""

    name: str
    paths: tuple[str, ...]
    model: str | None = None
    bed: str | None = None

    @property
    def words(self) -> str:
        """What a message calls it."""
        return f"genome {self.name}"


class Receipt(NamedTuple):
    """What came of a genome. ``calls``: or hits."""

    name: str
    state: str
    bases: int = 0
    calls: int = 0
    seconds: float = 0.0
    problem: str = ""


class GenomesFolder:
    """What ``tcnfast scan --genomes`` wrote to ``path``: a scan in a folder each.

    Raises TcnfastError in one line where the folder is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / TABLE).exists():
            raise TcnfastError(f"{path}: is no output of tcnfast scan --genomes (no {TABLE})")

    def __repr__(self) -> str:
        return f"GenomesFolder({str(self.path)!r})"

    @property
    def summary(self) -> pd.DataFrame:
        """genomes.tsv: name, state ("done" or "failed"), bases scanned, calls (or hits), seconds,
        and what went wrong."""
        return read_frame(self.path / TABLE, ("name", "state", "problem"))

    def __getitem__(self, name: str) -> ScanFolder:
        """The scan of one genome."""
        return ScanFolder(self.path / name)


def read_genomes(table: str | Path) -> list[GenomeRow]:
    """The rows of a tab-separated table with the columns name and path, and maybe model and bed; a
    path may be several, between commas. What is not there as it is named is looked for beside the
    table. Raises TcnfastError where there is no row, or a name is missing, there twice, or no name
    for a folder."""
    table = Path(table)
    rows = []
    for number, row in enumerate(read_table(table, ("name", "path")), 2):
        cells = {name: value.strip() for name, value in row.items()}
        cells = {name: "" if value == "NA" else value for name, value in cells.items()}
        name = cells["name"]
        if not name or not cells["path"]:
            raise TcnfastError(f"{table}:{number}: needs a name and a path")
        if file_names([name]) != [name] or name.startswith(".") or name == TABLE:
            raise TcnfastError(f"{table}:{number}: {name!r} cannot name a folder; choose another")
        paths = tuple(_place(table, path.strip()) for path in cells["path"].split(","))
        model, bed = cells.get("model"), cells.get("bed")
        rows.append(GenomeRow(name, paths, _place(table, model), _place(table, bed)))
    names = [row.name.lower() for row in rows]
    twice = [row.name for row in rows if names.count(row.name.lower()) > 1]
    if twice:
        raise TcnfastError(f"{table}: genome {twice[0]} is there twice; each needs its own name")
    if not rows:
        raise TcnfastError(f"{table}: names no genome")
    return rows


def _place(table: Path, path: str | None) -> str | None:
    """A path as it is, or beside the table where it is there alone; None for nothing."""
    if not path:
        return None
    beside = table.absolute().parent / path
    # os.path: a name may be too long for any file
    return str(beside) if os.path.exists(beside) and not os.path.exists(path) else path


def scan_genomes(model: object, out: str | Path, options: ScanOptions, run: Run) -> GenomesFolder:
    """See :func:`tcnfast.scan`. Raises TcnfastError that names the genomes that failed when all
    others are done."""
    rows = read_genomes(options.genomes)
    if run.shard is not None:
        raise TcnfastError(
            f"{setting('shard')}: is a part of one genome; split the table of {setting('genomes')}"
        )
    out = Path(out).resolve()
    _check_out(out, run)
    out.mkdir(parents=True, exist_ok=True)
    receipts: dict[str, Receipt] = {}
    log.info("%s in %s", count(len(rows), "genome"), options.genomes)
    _write(out, receipts.values())

    def tell(receipt: Receipt) -> None:
        receipts[receipt.name] = receipt
        _write(out, [receipts[row.name] for row in rows if row.name in receipts])

    # what whole genomes are made of would go through a store file by file
    share = run.cluster is not None and run.store is None
    if not share or not _by_genome(rows, model, out, options, run, tell):
        for receipt in _one_by_one(rows, model, out, options, run):
            tell(receipt)
    failed = [receipt for receipt in receipts.values() if receipt.state == FAILED]
    if failed:
        raise TcnfastError(
            f"{len(failed)} of {count(len(rows), 'genome')} failed, the others are in {out}: "
            f"{some((f'{x.name} ({x.problem})' for x in failed), 3)}; "
            f"{setting('resume', True)} does what is left"
        )
    return GenomesFolder(out)


def _by_genome(
    rows: list[GenomeRow],
    model: object,
    out: Path,
    options: ScanOptions,
    run: Run,
    tell: Callable[[Receipt], object],
) -> bool:
    """Whether they were units of a cluster."""
    from .genome_worker import scan_by_genome

    options.check_run(model, run)

    def say(receipt: Receipt) -> None:
        tell(receipt)
        done = receipt.state == DONE
        came = f"{count(receipt.calls, 'call', ',')}" if done else f"failed: {receipt.problem}"
        log.info("genome %s: %s in %.0f s", receipt.name, came, receipt.seconds)

    return scan_by_genome(rows, model, out, options, run, say)


def _one_by_one(
    rows: list[GenomeRow], model: object, out: Path, options: ScanOptions, run: Run
) -> Iterator[Receipt]:
    for number, row in enumerate(rows, 1):
        log.info("genome %s (%d of %d)", row.name, number, len(rows))
        yield scan_row(row, model, out, options, run)


def scan_row(row: GenomeRow, model: object, out: Path, options: ScanOptions, run: Run) -> Receipt:
    """Scan one genome into its folder below ``out``; what goes wrong is in the receipt, but for a
    disk without room."""
    from . import scan

    began = time.monotonic()
    own = replace(options, genomes=None, within=row.bed or options.within)
    try:
        done = scan(row.paths, row.model or model, out / row.name, options=own, run=run)
        n = sum(row["hits" if done.of_motifs else "calls"] for row in done.totals)
        seconds = round(time.monotonic() - began, 1)
        return Receipt(row.name, DONE, done.record["scanned_bases"], n, seconds)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        log.error("genome %s failed: %s", row.name, error)
        log.debug("", exc_info=True)
        kind = "" if isinstance(error, (TcnfastError, OSError)) else f"{type(error).__name__}: "
        problem = " ".join(f"{kind}{error}".split())[:500]
        return Receipt(
            row.name, FAILED, seconds=round(time.monotonic() - began, 1), problem=problem
        )


def _check_out(out: Path, run: Run) -> None:
    """Raise TcnfastError where the output is there and may not be added to."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    ours = (out / TABLE).exists() and "command" not in read_json(out / RECORD)
    if not ours:
        raise TcnfastError(
            f"{out}: exists and is no output of tcnfast scan --genomes; choose another "
            f"{setting('out')}"
        )
    if not (run.force or run.resume):
        raise TcnfastError(
            f"{out}: exists; {setting('resume', True)} goes on with it, {setting('force', True)} "
            "begins anew"
        )


def _write(out: Path, receipts: Iterable[Receipt]) -> None:
    temporary = out / f"{TABLE}.tmp"
    write_rows(temporary, COLUMNS, receipts)
    temporary.rename(out / TABLE)
