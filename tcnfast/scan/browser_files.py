"""What other programs open a scan with: IGV, JBrowse 2, MultiQC. Small files of text beside the
calls, which they name by paths relative to themselves."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from ..base.file_names import inert
from ..base.tables import replace_file
from .call_columns import CallColumns, read_call_columns
from .page_calls import best_first
from .scan_folder import ScanFolder

IGV_SESSION, JBROWSE, MULTIQC = "igv_session.xml", "jbrowse.json", "tcnfast_mqc.tsv"
AROUND = 10_000  # bases on a side of the call that is shown first
# of a narrowPeak file, in the words of JBrowse where it has some
COLUMNS = [
    *("refName", "start", "end", "name", "score", "strand"),
    *("probability", "pValue", "qValue", "peak"),
]
# what no XML file can hold
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SHOWN = 12  # labels with a row in a browser; others are files in peaks/


def write_browser_files(
    scan: ScanFolder, out: Path, genome: Sequence[Path], sizes: Mapping[str, int]
) -> None:
    """Write them into the folder of the scan, which will lie at ``out``. ``genome``: its files;
    ``sizes``: of the scanned contigs."""
    shown = labels_to_show(scan)
    paths = relative_paths(genome, out)
    locus = locus_to_show(scan, shown, sizes)
    replace_file(scan.path / IGV_SESSION, igv_session(_files(scan, shown), paths, locus))
    replace_file(scan.path / JBROWSE, jbrowse_config(scan, shown, paths, locus))
    replace_file(scan.path / MULTIQC, multiqc_table(scan))


def relative_paths(genome: Sequence[Path], out: Path) -> list[Path]:
    """The files of a genome, seen from the folder ``out``."""
    return [Path(os.path.relpath(path.resolve(), out.resolve())) for path in genome]


def labels_to_show(scan: ScanFolder) -> list[str]:
    """Labels with tracks, then, of those with a call, the ones that can be trusted most."""
    ranked = [row["label"] for row in best_first(scan.totals) if row["calls"]]
    tracked = [label for label in ranked if label in scan.tracks]
    tracked += [label for label in scan.tracks if label not in tracked]
    others = [label for label in ranked if label not in tracked]
    return [*tracked, *others][: max(SHOWN, len(tracked))]


def locus_to_show(scan: ScanFolder, labels: Sequence[str], sizes: Mapping[str, int]) -> str | None:
    """The highest call of the first of ``labels`` that has one, with what is around it, as
    "chr1:1-20,000" without commas. None where there is none, and on a contig whose name is no
    plain word, as HLA-A*01:01 is none."""
    for label in labels:
        calls = read_call_columns(scan.peaks_of(label)) if label in scan.labels else ()
        if len(calls):
            return around(calls, sizes)
    return None


def around(calls: CallColumns, sizes: Mapping[str, int]) -> str | None:
    """The highest of these calls, of which there is one or more, with what is around it; see
    :func:`locus_to_show`."""
    best = int(calls.score.argmax())
    chrom = calls.chroms[int(np.searchsorted(calls.first, best, side="right")) - 1]
    if not re.fullmatch(r"[\w.|-]+", chrom):
        return None
    first = max(1, int(calls.start[best]) - AROUND + 1)
    return f"{chrom}:{first}-{min(sizes[chrom], int(calls.end[best]) + AROUND)}"


def _files(scan: ScanFolder, labels: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, path and kind of the files of these labels."""
    files = []
    for label in labels:
        if label in scan.labels and scan.peaks_of(label).exists():
            files.append(
                (f"{inert(label)} calls", f"peaks/{scan.peaks_of(label).name}", "narrowPeak")
            )
        track = scan.tracks.get(label)
        if track is not None and track.suffix == ".bw":
            files.append((f"{inert(label)} probability", f"tracks/{track.name}", "bigWig"))
    return files


def igv_session(
    files: Sequence[tuple[str, str, str]], genome: Sequence[Path], locus: str | None
) -> bytes:
    """A session of IGV desktop with ``files``, each a name, a path and a kind."""
    path = _NO_XML.sub("_", genome[0].as_posix())
    root = ElementTree.Element("Session", genome=path, version="8")
    if locus:
        root.set("locus", locus)
    resources = ElementTree.SubElement(root, "Resources")
    panel = ElementTree.SubElement(root, "Panel", name="DataPanel")
    for name, path, kind in files:
        ElementTree.SubElement(resources, "Resource", path=path, type=kind.lower())
        track = ElementTree.SubElement(panel, "Track", id=path, name=name, visible="true")
        if kind == "bigWig":
            track.set("windowFunction", "max")  # the mean of a pixel hides peaks
            track.set("autoScale", "false")
            ElementTree.SubElement(track, "DataRange", minimum="0.0", maximum="1.0", type="LINEAR")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def jbrowse_config(
    scan: ScanFolder, labels: Sequence[str], genome: Sequence[Path], locus: str | None
) -> bytes:
    """A configuration of JBrowse 2. A genome that JBrowse cannot read in part, as one in several
    files or in plain gzip, is named all the same: index it, or convert it to .2bit."""
    name = inert(genome[0].name)
    tracks = []
    for number, (title, path, kind) in enumerate(_files(scan, labels)):
        adapter = {"type": "BedAdapter", "bedLocation": _at(path), "columnNames": COLUMNS}
        if kind == "bigWig":
            adapter = {"type": "BigWigAdapter", "bigWigLocation": _at(path)}
        display = {"type": "LinearBasicDisplay", "height": 40}
        if kind == "bigWig":
            display = {"type": "LinearWiggleDisplay", "height": 60, "minScore": 0, "maxScore": 1}
        track = {
            "type": "QuantitativeTrack" if kind == "bigWig" else "FeatureTrack",
            "trackId": f"tcnfast-{number}",
            "name": title,
            "assemblyNames": [name],
            "adapter": adapter,
            "displays": [{"displayId": f"tcnfast-{number}-row", **display}],
        }
        tracks.append(track)
    sequence = {
        "type": "ReferenceSequenceTrack",
        "trackId": "reference",
        "adapter": _sequence_adapter(genome[0]),
    }
    view = {"assembly": name, "tracks": [track["trackId"] for track in tracks]}
    if locus:
        view["loc"] = locus
    config = {
        "assemblies": [{"name": name, "sequence": sequence}],
        "tracks": tracks,
        "defaultSession": {
            "name": "tcnfast",
            "views": [{"id": "tcnfast", "type": "LinearGenomeView", "init": view}],
        },
    }
    return (json.dumps(config, indent=1) + "\n").encode()


def _sequence_adapter(genome: Path) -> dict:
    text = genome.as_posix()
    if text.endswith(".2bit"):
        return {"type": "TwoBitAdapter", "twoBitLocation": _at(text)}
    adapter = {"fastaLocation": _at(text), "faiLocation": _at(text + ".fai")}
    if text.endswith(".gz"):
        return {"type": "BgzipFastaAdapter", **adapter, "gziLocation": _at(text + ".gzi")}
    return {"type": "IndexedFastaAdapter", **adapter}


def _at(path: str) -> dict:
    """A file beside the configuration, of which only a URL can speak."""
    return {"uri": quote(os.fsencode(path), safe="/@+"), "locationType": "UriLocation"}


def multiqc_table(scan: ScanFolder) -> bytes:
    """A table for MultiQC: calls of each label and what is expected of them."""
    head = [
        "# id: 'tcnfast_calls'",
        "# section_name: 'tcnfast calls'",
        "# description: 'Calls of transcription-factor binding from DNA sequence, by label.'",
        "# plot_type: 'table'",
        "# pconfig:",
        "#     id: 'tcnfast_calls_table'",
        "#     title: 'tcnfast: calls'",
        "\t".join(("Label", "Calls", "Bases", "Threshold", "Expected precision")),
    ]
    columns = ("label", "calls", "bases", "threshold", "expected_precision")
    lines = ["\t".join(_cell(row[name]) for name in columns) for row in scan.totals]
    return ("\n".join([*head, *lines]) + "\n").encode()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    # no comment, and no formula of a spreadsheet
    return re.sub("^[#=+@-]", "_", inert(str(value)))
