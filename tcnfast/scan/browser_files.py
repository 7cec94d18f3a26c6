"""What other programs open a scan with: IGV, JBrowse 2, MultiQC. Small files of text beside the
calls, which they name by paths relative to themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..base.tables import replace_file
from .page_calls import best_first
from .scan_folder import ScanFolder

IGV_SESSION, JBROWSE, MULTIQC = "igv_session.xml", "jbrowse.json", "tcnfast_mqc.tsv"
SHOWN = 12  # labels with a row in a browser; others are files in peaks/


def write_browser_files(scan: ScanFolder, out: Path, genome: Sequence[Path]) -> None:
    """Write them into the folder of the scan, which will lie at ``out``. ``genome``: its files."""
    shown = labels_to_show(scan)
    paths = [Path(os.path.relpath(path.resolve(), out.resolve())) for path in genome]
    replace_file(scan.path / IGV_SESSION, igv_session(scan, shown, paths))
    replace_file(scan.path / JBROWSE, jbrowse_config(scan, shown, paths))
    replace_file(scan.path / MULTIQC, multiqc_table(scan))


def labels_to_show(scan: ScanFolder) -> list[str]:
    """Labels with tracks, then, of those with a call, the ones that can be trusted most."""
    summary = scan.summary
    rows = summary[(summary["chrom"] == "all") & (summary["calls"] > 0)]
    ranked = [row["label"] for row in best_first(rows.astype(object).to_dict("records"))]
    tracked = [label for label in ranked if label in scan.tracks]
    tracked += [label for label in scan.tracks if label not in tracked]
    others = [label for label in ranked if label not in tracked]
    return [*tracked, *others][: max(SHOWN, len(tracked))]


def _files(scan: ScanFolder, labels: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, path and kind of the files of these labels."""
    files = []
    for label in labels:
        if label in scan.labels and scan.peaks_of(label).exists():
            files.append((f"{label} calls", f"peaks/{scan.peaks_of(label).name}", "narrowPeak"))
        track = scan.tracks.get(label)
        if track is not None and track.suffix == ".bw":
            files.append((f"{label} probability", f"tracks/{track.name}", "bigWig"))
    return files


def igv_session(scan: ScanFolder, labels: Sequence[str], genome: Sequence[Path]) -> bytes:
    """A session of IGV desktop."""
    root = ElementTree.Element("Session", genome=genome[0].as_posix(), version="8")
    resources = ElementTree.SubElement(root, "Resources")
    panel = ElementTree.SubElement(root, "Panel", name="DataPanel")
    for name, path, kind in _files(scan, labels):
        ElementTree.SubElement(resources, "Resource", path=path, type=kind.lower())
        track = ElementTree.SubElement(panel, "Track", id=path, name=name, visible="true")
        if kind == "bigWig":
            track.set("windowFunction", "max")  # the mean of a pixel hides peaks
            ElementTree.SubElement(track, "DataRange", minimum="0.0", maximum="1.0", type="LINEAR")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def jbrowse_config(scan: ScanFolder, labels: Sequence[str], genome: Sequence[Path]) -> bytes:
    """A configuration of JBrowse 2. A genome that JBrowse cannot read in part, as one in several
    files or in plain gzip, is named all the same: index it, or convert it to .2bit."""
    name = genome[0].name
    tracks = []
    for number, (title, path, kind) in enumerate(_files(scan, labels)):
        place = {"uri": path, "locationType": "UriLocation"}
        adapter = {"type": "BedAdapter", "bedLocation": place}
        if kind == "bigWig":
            adapter = {"type": "BigWigAdapter", "bigWigLocation": place}
        track = {
            "type": "QuantitativeTrack" if kind == "bigWig" else "FeatureTrack",
            "trackId": f"tcnfast-{number}",
            "name": title,
            "assemblyNames": [name],
            "adapter": adapter,
        }
        tracks.append(track)
    sequence = {
        "type": "ReferenceSequenceTrack",
        "trackId": "reference",
        "adapter": _sequence_adapter(genome[0]),
    }
    config = {"assemblies": [{"name": name, "sequence": sequence}], "tracks": tracks}
    return (json.dumps(config, indent=1) + "\n").encode()


def _sequence_adapter(genome: Path) -> dict:
    def at(path: str) -> dict:
        return {"uri": path, "locationType": "UriLocation"}

    text = genome.as_posix()
    if text.endswith(".2bit"):
        return {"type": "TwoBitAdapter", "twoBitLocation": at(text)}
    adapter = {"fastaLocation": at(text), "faiLocation": at(text + ".fai")}
    if text.endswith(".gz"):
        return {"type": "BgzipFastaAdapter", **adapter, "gziLocation": at(text + ".gzi")}
    return {"type": "IndexedFastaAdapter", **adapter}


def multiqc_table(scan: ScanFolder) -> bytes:
    """A table for MultiQC: calls of each label and what is expected of them."""
    summary = scan.summary
    rows = summary[summary["chrom"] == "all"]
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
    columns = (
        rows[name] for name in ("label", "calls", "bases", "threshold", "expected_precision")
    )
    lines = ["\t".join(map(_cell, row)) for row in zip(*columns, strict=True)]
    return ("\n".join([*head, *lines]) + "\n").encode()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value)
