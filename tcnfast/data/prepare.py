"""``tcnfast prepare``: from peak files of any lab to a dataset folder."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..base.disk import write_text
from ..base.errors import TcnfastError
from ..base.file_names import check_labels
from ..base.input_files import input_name
from ..base.options import Run
from ..base.run_folder import RunFolder, named_hash
from ..base.tables import write_rows
from ..base.talk import count
from ..genome.genome import Genome, Region
from .assembly_check import contrasts
from .data_options import LabelRule, PrepareOptions
from .data_report import make_report, report_text, why_dropped, write_report
from .dataset import Dataset
from .encode_metadata import LeftOut
from .peak_sets import PeakSets, listed_files, paths_of, read_blacklist, read_peaks
from .prepared import DATASET, MAX_CONTIG, DatasetFolder, write_arrays
from .splits import SPLIT_NAMES, open_split

log = logging.getLogger(__name__)

LEFT_OUT = "left_out.tsv"
_NAMED = 5  # labels in a warning


def prepare_dataset(
    genome: Sequence[str | Path], out: str | Path, options: PrepareOptions, run: Run
) -> DatasetFolder:
    """What ``tcnfast prepare`` does."""
    rule, split, key, text = options.narrowed(LabelRule), options.split, {}, None
    with RunFolder(out, "prepare", run, key=lambda: key) as folder, Genome(*genome) as opened:
        regions = open_split(split, opened.sizes)
        chroms = contigs_in_use(opened.sizes, regions, split)
        rows, left_out = listed_files(options)
        key |= {
            "inputs": input_hashes(paths_of(genome, options, rows)),
            "rule": asdict(rule),
            "split": {part: [list(r) for r in areas] for part, areas in regions.items()},
        }
        peaks = read_peaks(options, rows, opened.sizes)
        check_labels(peaks.labels)
        dataset = _dataset(opened, peaks, options.blacklist, chroms, rule)
        record = write_arrays(folder.result, dataset, regions, chroms) | key
        record["split_source"] = split if split in SPLIT_NAMES else input_name(split)
        record["left_out"] = len(left_out)
        _write_left_out(folder.result, left_out)
        record["warnings"] = _judge(dataset, regions, options.min_peaks)
        write_text(folder.result / DATASET, json.dumps(record, indent=2) + "\n")
        if options.report:
            text = _report(folder.result, dataset, regions, options.min_peaks)
        folder.publish()
    log.info("dataset of %s in %s", count(len(dataset.labels), "label"), folder.path)
    return DatasetFolder(folder.path, text)


def _dataset(
    genome: Genome, peaks: PeakSets, blacklist: str | None, chroms: list[str], rule: LabelRule
) -> Dataset:
    """The peaks on the contigs in use, by the rule."""
    if peaks.off_genome:
        words = "peaks left out because the genome lacks their contig (%d): on %s"
        names = [name for name, _ in peaks.off_genome.most_common()]
        log.warning(words, peaks.off_genome.total(), _some(names))
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
            f"of {count(len(peaks.bound), 'peak')} none lies on a contig of the split: "
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
    named = ((role, *named_hash(path)) for role, path in files)
    hashes = [{"role": role, "name": name, "sha256": sha256} for role, name, sha256 in named]
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


def _some(names: list[str]) -> str:
    more = len(names) - len(names[:_NAMED])
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more else "")


def _write_left_out(result: Path, left_out: list[LeftOut]) -> None:
    if not left_out:
        return
    rows = [(row.accession, row.label, row.why) for row in left_out]
    write_rows(result / LEFT_OUT, ("accession", "label", "why"), rows)
    reasons = Counter(row.why.partition(":")[0] for row in left_out).most_common(_NAMED)
    words = "; ".join(f"{count} {why}" for why, count in reasons)
    log.info("rows of the metadata left out (%d; see %s): %s", len(left_out), LEFT_OUT, words)
