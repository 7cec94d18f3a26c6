"""Hits of motifs as files: one BED of each motif, sorted, and a summary."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..base.disk import writing
from ..base.jit import jit
from ..base.tables import write_rows
from ..pwm.log_odds import UNITS_PER_BIT
from ..pwm.packed_hits import motif_bounds, unpack
from .narrowpeak import NUMBER_BYTES, heads_of, put, put_number, text_bytes
from .scan_folder import SUMMARY, hits_file

if TYPE_CHECKING:
    from .motif_run import MotifJob

GROUP = 1 << 24  # hits in memory at once: 128 MiB
ROWS = 1 << 18  # hits that become text at once
_LEVEL = 1  # of gzip: three times as fast as the default, a tenth larger
_PLUS, _MINUS, _POINT, _TAB, _NEWLINE = b"+-.\t\n"
_E_MINUS = text_bytes("e-")

COLUMNS = ("motif", "name", "width", "threshold", "chrom", "hits")


def write_hits(job: MotifJob, work: Path, result: Path) -> np.ndarray:
    """Write ``result``/hits/<motif>.bed.gz from the finished stretches; returns the number of hits,
    int64 (motifs, contigs), or (motifs, 1) of all contigs.

    BED6+1: chrom, start, end, motif id, score in bits, strand, p-value, by contig as in the genome
    and then by start; the same hits give the same bytes. Motifs without a hit have an empty file.
    """
    counts = np.zeros((len(job.motifs), len(job.chroms) if job.per_contig else 1), np.int64)
    places = {chrom: index for index, chrom in enumerate(job.chroms)}
    for stretch in job.stretches:
        hits = np.load(stretch.calls_file(work), mmap_mode="r")
        shelf = job.laid.shelves.get(stretch.chrom)
        if not job.per_contig:
            counts[:, 0] += np.diff(motif_bounds(hits, len(job.motifs)))
        elif shelf is None:
            counts[:, places[stretch.chrom]] += np.diff(motif_bounds(hits, len(job.motifs)))
        else:
            motif, start, _, _ = unpack(hits)
            of = shelf.contig_of(start) + places[shelf.names[0]]
            np.add.at(counts, (motif, of), 1)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first, last in _groups(counts.sum(1)):
            parts = _read_group(job, work, first, last)
            write = lambda motif, parts=parts: _write_motif(job, motif, parts, result)  # noqa: E731
            for _ in pool.map(write, range(first, last)):
                pass
    return counts


def _groups(hits: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of motifs whose hits are read together; one motif at least."""
    first, total = 0, 0
    for motif, n in enumerate(hits.tolist()):
        if motif > first and total + n > GROUP:
            yield first, motif
            first, total = motif, 0
        total += n
    yield first, len(hits)


def _read_group(job: MotifJob, work: Path, first: int, last: int) -> list:
    """(sequence, where the stretch begins, hits) of motifs [first, last) in every stretch."""
    parts = []
    for stretch in job.stretches:
        hits = np.load(stretch.calls_file(work), mmap_mode="r")
        bounds = motif_bounds(hits, len(job.motifs))
        if bounds[last] > bounds[first]:
            parts.append(
                (stretch.chrom, stretch.first, np.array(hits[bounds[first] : bounds[last]]))
            )
    return parts


def _write_motif(job: MotifJob, motif: int, parts: list, result: Path) -> None:
    width, highest = int(job.finder.widths[motif]), int(job.finder.highest[motif])
    middle = f"\t{job.motifs[motif].id}\t"
    chances = None
    path = hits_file(result, job.names[motif])
    with (
        writing(path),
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as file,
    ):
        for chrom, begin, hits in parts:
            bounds = motif_bounds(hits, motif + 1)
            for row in range(bounds[motif], bounds[motif + 1], ROWS):
                if chances is None:
                    chances = job.finder.tail(motif).chances
                some = hits[row : min(row + ROWS, bounds[motif + 1])]
                _, start, strand, lacks = unpack(some)
                names, of = [chrom], np.zeros(len(start), np.int64)
                shelf = job.laid.shelves.get(chrom)
                if shelf is not None:
                    names, of = shelf.names, shelf.contig_of(start)
                    start -= shelf.firsts[of]
                columns = begin + start, width, highest - lacks, strand, chances[lacks]
                file.write(_lines(names, of, middle, *columns))


def _lines(names, contig, middle, start, width, score, strand, p) -> bytes:
    heads, begins, which = heads_of(names, contig)
    middle = text_bytes(middle)
    longest = int(np.diff(begins).max(initial=0)) + len(middle) + 6 * NUMBER_BYTES
    out = np.empty(len(start) * longest, np.uint8)
    hundredths = np.rint(score * (100 / UNITS_PER_BIT)).astype(np.int64)
    exponent = np.floor(np.log10(p)).astype(np.int64)
    mantissa = np.rint(p * 10.0 ** (2 - exponent)).astype(np.int64)
    exponent[mantissa == 1000] += 1
    mantissa[mantissa == 1000] = 100
    n = _format(
        out, heads, begins, which, middle, start, width, hundredths, strand, mantissa, -exponent
    )
    return out[:n].tobytes()


@jit
def _format(
    out, heads, begins, which, middle, start, width, hundredths, strand, mantissa, minus_exponent
):
    """Write the lines into ``out``; returns their length."""
    at = 0
    for row in range(len(start)):
        at = put(out, at, heads[begins[which[row]] : begins[which[row] + 1]])
        at = put_number(out, at, start[row], 1)
        out[at] = _TAB
        at = put_number(out, at + 1, start[row] + width, 1)
        at = put(out, at, middle)
        if hundredths[row] < 0:
            out[at] = _MINUS
            at += 1
        at = put_number(out, at, abs(hundredths[row]) // 100, 1)
        out[at] = _POINT
        at = put_number(out, at + 1, abs(hundredths[row]) % 100, 2)
        out[at] = _TAB
        out[at + 1] = _MINUS if strand[row] else _PLUS
        out[at + 2] = _TAB
        at = put_number(out, at + 3, mantissa[row] // 100, 1)
        out[at] = _POINT
        at = put_number(out, at + 1, mantissa[row] % 100, 2)
        at = put(out, at, _E_MINUS)
        at = put_number(out, at, minus_exponent[row], 2)
        out[at] = _NEWLINE
        at += 1
    return at


def write_summary(job: MotifJob, counts: np.ndarray, result: Path) -> None:
    """Write summary.tsv: a motif's hits in all and on each contig."""
    rows = []
    thresholds, widths = job.finder.thresholds.tolist(), job.finder.widths.tolist()
    for motif, width, threshold, hits in zip(job.motifs, widths, thresholds, counts, strict=True):
        about = motif.id, motif.name, width, round(threshold, 3)
        chroms = zip(job.chroms, hits, strict=True) if job.per_contig else ()
        for chrom, n in [("all", hits.sum()), *chroms]:
            rows.append((*about, chrom, int(n)))
    write_rows(result / SUMMARY, COLUMNS, rows)
