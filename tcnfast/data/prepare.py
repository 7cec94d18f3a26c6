"""``tcnfast prepare``: from peak files of any lab to a dataset folder."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder, file_hash
from ..genome.genome import Genome, Region
from .assembly_check import contrasts
from .data_report import make_report, report_text, why_dropped, write_report
from .dataset import Dataset
from .encode_metadata import LeftOut, read_encode
from .manifest import PeakFile, read_manifest
from .peak_sets import PeakSets, read_blacklist, read_peak_files, read_peak_tables
from .prepared import (
    COLUMNS,
    DATASET,
    MAX_CONTIG,
    VERSION,
    write_blacklist,
    write_codes,
    write_peaks,
)
from .splits import SPLIT_NAMES, open_split

log = logging.getLogger(__name__)

LEFT_OUT = "left_out.tsv"
_NAMED = 5  # labels in a warning


@dataclass(frozen=True)
class LabelRule:
    """What makes a bin bound: see Dataset. ``summits``: peaks are replaced by this many bases
    around their summits, or None for whole peaks."""

    label_bin: int = 200
    min_overlap: int = 100
    summits: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_overlap <= self.label_bin:
            raise TcnfastError(
                f"min_overlap {self.min_overlap}: must be within 1 and label_bin {self.label_bin}"
            )
        if self.summits is not None and self.summits < 1:
            raise TcnfastError(f"summits {self.summits}: must be at least 1 base")


@dataclass(frozen=True)
class PeakInputs:
    """Where the peaks come from: exactly one of ``peaks`` (labelled tables, with ``ambiguous``
    ones), ``manifest`` and ``encode`` (a metadata.tsv, of which ``assembly`` is taken)."""

    peaks: Sequence[str] = ()
    ambiguous: Sequence[str] = ()
    manifest: str | None = None
    encode: str | None = None
    assembly: str | None = None
    allow_audit_errors: bool = False

    def __post_init__(self) -> None:
        if sum(map(bool, (self.peaks, self.manifest, self.encode))) != 1:
            raise TcnfastError("peaks: give one of --peaks, --manifest and --encode")
        if self.ambiguous and not self.peaks:
            raise TcnfastError("--ambiguous goes with --peaks; a manifest has a column for it")
        for paths in (self.peaks, self.ambiguous):
            for path, times in Counter(Path(path).resolve() for path in paths).items():
                if times > 1:
                    raise TcnfastError(f"{path}: is listed twice")

    def listed(self) -> tuple[list[PeakFile], list[LeftOut]]:
        """Rows of the manifest, or of the metadata and those of it that are left out."""
        if self.manifest:
            return read_manifest(self.manifest), []
        if self.encode:
            return read_encode(self.encode, self.assembly, self.allow_audit_errors)
        return [], []

    def files(self, rows: list[PeakFile]) -> list[tuple[str, str]]:
        """The (role, path) of every file; ``rows`` are those of :meth:`listed`."""
        lists = {"manifest": self.manifest, "encode": self.encode}
        files = [(role, path) for role, path in lists.items() if path]
        files += [("peaks", str(path)) for path in (*self.peaks, *(row.path for row in rows))]
        relaxed = [*self.ambiguous, *(row.ambiguous for row in rows if row.ambiguous)]
        return files + [("ambiguous", path) for path in dict.fromkeys(map(str, relaxed))]

    def read(self, rows: list[PeakFile], sizes: dict[str, int]) -> PeakSets:
        """The peaks; ``rows`` are those of :meth:`listed`."""
        if rows:
            return read_peak_files(rows, sizes)
        return read_peak_tables(list(self.peaks), list(self.ambiguous), sizes)


def prepare(
    out: str,
    genome: Sequence[str],
    inputs: PeakInputs,
    split: str,
    *,
    blacklist: str | None = None,
    rule: LabelRule | None = None,
    min_peaks: int = 200,
    report: bool = False,
    force: bool = False,
) -> Path:
    """Write a dataset folder ``out`` (see :mod:`tcnfast.data.prepared`); returns its path.

    ``split``: a file, or one of ``SPLIT_NAMES``. ``report``: also write the report, and print it;
    ``min_peaks``: labels with fewer training peaks are named as those that training drops. Raises
    TcnfastError for inputs that cannot be used; what is merely suspicious is logged as a warning.
    """
    started, rule = time.monotonic(), rule or LabelRule()
    with Genome(*genome) as opened:
        regions = open_split(split, opened.sizes)
        chroms = contigs_in_use(opened.sizes, regions, split)
        rows, left_out = inputs.listed()
        files = [("genome", str(path)) for path in genome] + inputs.files(rows)
        files += [("blacklist", blacklist)] if blacklist else []
        files += [] if split in SPLIT_NAMES else [("split", split)]
        key = {
            "command": "prepare",
            "inputs": input_hashes(files),
            "rule": asdict(rule),
            "split": {part: [list(r) for r in areas] for part, areas in regions.items()},
        }
        output = OutputFolder(out, key, force, resume=None)
        result = output.work / "result"
        try:
            result.mkdir()
            peaks = inputs.read(rows, opened.sizes)
            dataset = _dataset(opened, peaks, blacklist, chroms, rule)
            record = _write(result, dataset, regions, chroms)
            record |= {name: key[name] for name in ("rule", "split", "inputs")}
            record["split_source"] = split if split in SPLIT_NAMES else Path(split).name
            record["left_out"] = len(left_out)
            _write_left_out(result, left_out)
            record["warnings"] = _judge(dataset, regions, min_peaks)
            (result / DATASET).write_text(json.dumps(record, indent=2) + "\n")
            text = _report(result, dataset, regions, min_peaks) if report else None
        except BaseException:
            output.discard()
            raise
    seconds = round(time.monotonic() - started, 1)
    versions = {name: metadata.version(name) for name in ("tcnfast", "numpy", "numba")}
    output.publish(result, {"seconds": seconds, "versions": versions})
    log.info("dataset in %s: labels: %d, %.1f s", output.folder, len(dataset.labels), seconds)
    if text:
        print(text, flush=True)
    return output.folder


def _dataset(
    genome: Genome, peaks: PeakSets, blacklist: str | None, chroms: list[str], rule: LabelRule
) -> Dataset:
    """The peaks on the contigs in use, by the rule."""
    if peaks.off_genome:
        names = [name for name, _ in peaks.off_genome.most_common(_NAMED)]
        log.warning(
            "peaks left out because the genome lacks their contig (%d): on %s",
            peaks.off_genome.total(), _some(names, len(peaks.off_genome)),
        )  # fmt: skip
    peaks = _cut(peaks, chroms, rule, genome.sizes)
    masked = read_blacklist(blacklist, genome.sizes) if blacklist else None
    columns = peaks.bound, peaks.labels, peaks.relaxed, masked
    return Dataset(genome, *columns, rule.label_bin, rule.min_overlap, rule.summits)


def _report(
    result: Path, dataset: Dataset, regions: dict[str, list[Region]], min_peaks: int
) -> str:
    """Write the report beside the files of the dataset; returns it as text."""
    sizes = {path.name: path.stat().st_size for path in sorted(result.iterdir())}
    contents, counts = make_report(dataset, regions, min_peaks, sizes)
    write_report(result, contents, counts)
    return report_text(contents)


def contigs_in_use(
    sizes: dict[str, int], regions: dict[str, list[Region]], split: str
) -> list[str]:
    """Contigs that the split uses, in the order of the genome."""
    used = {region.chrom for areas in regions.values() for region in areas}
    if not used:
        raise TcnfastError(f"{split}: holds no region")
    for part, areas in regions.items():
        if not areas:
            log.warning("split %s: %s holds no region", split, part)
    long = next((name for name in used if sizes[name] >= MAX_CONTIG), None)
    if long:
        raise TcnfastError(f"contig {long!r} has {sizes[long]} bases; prepare takes < {MAX_CONTIG}")
    return [name for name in sizes if name in used]


def _cut(peaks: PeakSets, chroms: list[str], rule: LabelRule, sizes: dict[str, int]) -> PeakSets:
    """Peaks on the contigs in use, by the rule."""
    if len(peaks.labels) > 65_535:
        raise TcnfastError(f"{len(peaks.labels)} labels; a dataset holds 65,535 at most")
    cut = peaks.on_contigs(chroms)
    if not len(cut.bound):
        raise TcnfastError(
            f"none of the {len(peaks.bound)} peaks lies on a contig of the split: "
            f"{', '.join(chroms[:5])}"
        )
    if len(cut.bound) < len(peaks.bound):
        log.info(
            "peaks left out because the split does not use their contig: %d",
            len(peaks.bound) - len(cut.bound),
        )
    return cut if rule.summits is None else cut.around_summits(rule.summits, sizes)


def input_hashes(files: list[tuple[str, str]]) -> list[dict]:
    """Role, name and SHA-256 of each file; warns of peak files that are copies of each other."""
    hashes = [
        {"role": role, "name": Path(path).name, "sha256": file_hash(path)} for role, path in files
    ]
    names = defaultdict(list)
    for entry in hashes:
        if entry["role"] == "peaks":
            names[entry["sha256"]].append(entry["name"])
    for copies in names.values():
        if len(copies) > 1:
            log.warning("peak files %s are the same, byte for byte", " and ".join(copies))
    return hashes


def _judge(dataset: Dataset, regions: dict[str, list[Region]], min_peaks: int) -> list[str]:
    """What is suspicious about the labels, each a line, logged as warnings."""
    counts = {part: dataset.count_peaks(areas) for part, areas in regions.items()}
    total = sum(counts.values())

    def named(chosen: Iterable[bool]) -> list[str]:
        return [label for label, yes in zip(dataset.labels, chosen, strict=True) if yes]

    found = {"labels without peaks in any region": named(total == 0)}
    for part, areas in regions.items():
        if areas:
            words = f"labels that the split leaves without peaks in {part}"
            found[words] = named((counts[part] == 0) & (total > 0))
    words = f"labels that tcnfast train will drop, with fewer than {min_peaks} training peaks"
    found[words] = named(bool(why_dropped(n, min_peaks)) for n in counts["train"])
    words = (
        "labels that look like peaks of another assembly, no richer in GC, CpG or any 6-mer than "
        "the sequence 1 kb away"
    )
    every = [region for areas in regions.values() for region in areas]
    found[words] = named(contrast.random for contrast in contrasts(dataset, every))
    said = [f"{words} ({len(names)}): {_some(names)}" for words, names in found.items() if names]
    for line in said:
        log.warning(line)
    return said


def _some(names: list[str], total: int | None = None) -> str:
    more = (total or len(names)) - len(names[:_NAMED])
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more else "")


def _write(
    result: Path, dataset: Dataset, regions: dict[str, list[Region]], chroms: list[str]
) -> dict:
    """Write the arrays; returns what dataset.json says of them."""
    firsts = write_codes(result, dataset.genome, chroms)
    rows = write_peaks(result, dataset, chroms)
    blacklisted = write_blacklist(result, dataset.blacklist, chroms)
    counts = {part: dataset.count_peaks(areas).tolist() for part, areas in regions.items()}
    arrays = ["codes.npy", *(f"peaks.{name}.npy" for name in COLUMNS)]
    arrays += ["blacklist.npy"] if blacklisted is not None else []
    return {
        "version": VERSION,
        "labels": dataset.labels,
        "contigs": [
            {
                "name": name,
                "size": dataset.genome.sizes[name],
                "first_base": first,
                "peak_rows": list(span),
            }
            for name, first, span in zip(chroms, firsts, rows, strict=True)
        ],
        "blacklisted": blacklisted,
        "peaks": counts,
        "files": {name: file_hash(result / name) for name in arrays},
    }


def _write_left_out(result: Path, left_out: list[LeftOut]) -> None:
    if not left_out:
        return
    reasons = defaultdict(int)
    with (result / LEFT_OUT).open("w", encoding="utf-8") as file:
        print("accession", "label", "why", sep="\t", file=file)
        for row in left_out:
            print(row.accession, row.label, row.why, sep="\t", file=file)
            reasons[row.why.partition(":")[0]] += 1
    common = sorted(reasons, key=reasons.get, reverse=True)[:_NAMED]
    words = "; ".join(f"{reasons[why]} {why}" for why in common)
    log.info("rows of the metadata left out (%d; see %s): %s", len(left_out), LEFT_OUT, words)
