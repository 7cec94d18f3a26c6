"""hub.txt: a scan as a track hub of the UCSC Genome Browser, in one file, with its calls as bigBed
and its tracks as they are. Hubs are read over the web, so the folder has to lie on a web server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from ..base.errors import TcnfastError
from ..base.file_names import inert
from ..base.options import setting
from ..base.tables import replace_file
from ..genome.assemblies import known_assembly
from .bigbed import LONGEST, why_not, write_bigbed
from .scan_folder import ScanFolder

HUB, BIGBEDS = "hub.txt", "hub"
AUTO = "auto"  # the assembly by the sizes of its contigs
UNKNOWN = "unknown"
SHORT, LONG = 17, 76  # letters of labels, as UCSC wants them
_HEAD = """\
# A track hub of the UCSC Genome Browser. Put this file, with the folders beside it, on a web server
# or at UCSC (My Data > Track Hubs > Hub Upload), and give the address of this file at
# My Data > Track Hubs > Connected Hubs. Labels without a call have no track. The address below is
# for questions about the hub: write yours.
"""
_UNKNOWN = """\
# To do: the sizes of the contigs are of no assembly that tcnfast knows. Write UCSC's name of it in
# the line below, as hg38; or scan with --hub hg38. For a genome that UCSC does not have, add
#   twoBitPath genome.2bit
# which tcnfast index makes of the FASTA, and put that file beside this one.
"""


def check_hub(sizes: Mapping[str, int]) -> None:
    """Raise TcnfastError where no hub can be written here, and for a contig that is too long."""
    reason = why_not()
    if reason:
        raise TcnfastError(f"{setting('hub')}: {reason}")
    for chrom, size in sizes.items():
        if size > LONGEST:
            raise TcnfastError(
                f"{setting('hub')}: {chrom} has {size} bases, a bigBed at most {LONGEST}"
            )


def assembly_of(asked: str, sizes: Iterable[int]) -> str | None:
    """UCSC's name of the assembly: what was ``asked`` for, by the ``sizes`` of contigs if AUTO;
    None where it is not known."""
    if asked != AUTO:
        return asked
    known = known_assembly(sizes)
    return known.name if known else None


def write_bigbeds(peaks: Mapping[str, Path], folder: Path, sizes: Mapping[str, int]) -> None:
    """The calls of narrowPeak files, by file name, as bigBed; of those that hold a call."""
    folder.mkdir()
    for name, path in peaks.items():
        if path.exists() and path.stat().st_size:
            write_bigbed(path, folder / f"{name}.bb", sizes)


def write_hub(scan: ScanFolder, assembly: str | None, shown: Sequence[str]) -> None:
    """Write hub.txt of a scan whose bigBeds are there. ``shown``: labels whose tracks are on when
    the hub is opened; ``assembly``: UCSC's name, None where it is not known."""
    order = [*shown, *(x for x in [*scan.labels, *scan.tracks] if x not in shown)]
    calls, tracks = {}, {}
    for label in dict.fromkeys(order):
        if label in scan.labels:
            path = scan.path / BIGBEDS / f"{scan.peaks_of(label).stem}.bb"
            calls |= {label: path} if path.exists() else {}
        track = scan.tracks.get(label)
        tracks |= {label: track} if track is not None and track.suffix == ".bw" else {}
    model = scan.record.get("model", "a model")
    files = ", ".join(name for name, _ in scan.record["key"]["genome"])
    hub = {
        "hub": "tcnfast",
        "shortLabel": "tcnfast",
        "longLabel": hub_value(f"tcnfast: binding called by {model} in {files}", LONG),
        "useOneFile": "on",
        "email": "nobody@example.org",
    }
    stanzas = [_HEAD + _stanza(hub)]
    stanzas.append(("" if assembly else _UNKNOWN) + _stanza({"genome": assembly or UNKNOWN}))
    stanzas += _composite(scan, "calls", "bigNarrowPeak", calls, shown)
    stanzas += _composite(scan, "probability", "bigWig 0 1", tracks, shown)
    replace_file(scan.path / HUB, "\n".join(stanzas).encode())


def _composite(
    scan: ScanFolder, what: str, kind: str, files: Mapping[str, Path], shown: Sequence[str]
) -> list[str]:
    """One track that holds those of all labels, to be ticked in one list."""
    if not files:
        return []
    parent = f"tcnfast_{what}"
    stanza = {
        "track": parent,
        "compositeTrack": "on",
        "shortLabel": hub_value(f"tcnfast {what}", SHORT),
        "longLabel": f"tcnfast: {what} of binding, from DNA sequence alone",
        "type": kind,
        "visibility": "dense",
    }
    if what == "probability":
        # the mean of a pixel hides peaks
        stanza |= {"visibility": "full", "viewLimits": "0:1", "autoScale": "off"}
        stanza |= {"windowingFunction": "maximum", "maxHeightPixels": "100:32:8"}
    stanzas = [_stanza(stanza)]
    for number, (label, path) in enumerate(files.items(), 1):
        lines = {
            "track": f"{parent}_{number}",
            "parent": f"{parent} {'on' if label in shown else 'off'}",
            "shortLabel": hub_value(label, SHORT),
            "longLabel": hub_value(f"{label} {what}", LONG),
            "type": kind,
            "bigDataUrl": quote(path.relative_to(scan.path).as_posix(), safe="/@+"),
        }
        stanzas.append(_stanza(lines, "    "))
    return stanzas


def _stanza(lines: Mapping[str, str], indent: str = "") -> str:
    return "".join(f"{indent}{name} {value}\n" for name, value in lines.items())


def hub_value(text: str, most: int) -> str:
    """``text`` as the value of a line, which a backslash at its end would go on with in the next;
    cut to ``most`` letters."""
    text = inert(text)
    return text if len(text) <= most else text[: most - 1] + "…"
