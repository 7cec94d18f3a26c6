"""What a stranger's run folders, tables of studies and settings hold, for ``support.fuzz``: sound
ones, each file of which is broken in turn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np

Files = dict[str, bytes]
Found = list[tuple[str, list[Files], Callable[[Path], object]]]

LABELS = ["CTCF@K562", "MAX"]


def first(name: str, files: Files) -> Files:
    """The same files, with the one to be broken in front."""
    return {name: files[name], **files}


def folders() -> Found:
    """Names, files and readers of everything in this module."""
    return [*_scans(), *_reasons(), *_evaluations(), *_data(), *_settings(), *_examined()]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _scans() -> Found:
    from tcnfast.scan.call_columns import read_call_columns
    from tcnfast.scan.scan_folder import ScanFolder

    peaks = b"chr1\t0\t200\tMAX\t712\t.\t0.7120\t-1\t-1\t96\n"
    peaks += b"chr1\t320\t520\tMAX\t5\t.\t0.5\t-1\t-1\t9\n"
    key = {"command": "scan", "targets": LABELS, "model": "0" * 64}
    scan = {
        "run.json": _json({"key": key, "skipped_contigs": [], "warnings": []}),
        "summary.tsv": b"label\tchrom\tcalls\tbases\nMAX\tall\t2\t400\nCTCF@K562\tall\t0\t0\n",
        "percentiles.tsv": b"label\tprobability\tpercentile\nMAX\t0.1\t90\nMAX\t0.9\t99.9\n",
        "peaks/MAX.narrowPeak": peaks,
        "peaks/CTCF@K562.narrowPeak": b"",
    }

    def scanned(path: Path) -> None:
        found = ScanFolder(path.parent if path.parent.name != "peaks" else path.parents[1])
        assert found.labels is not None and found.summary is not None
        for label in found.called_labels:
            found.calls(label)

    return [
        *((f"scan's {name}", [first(name, scan)], scanned) for name in list(scan)[:4]),
        ("calls", [{"x.narrowPeak": peaks}], read_call_columns),
    ]


def _reasons() -> Found:
    from tcnfast.attribute.attribution_folder import AttributionFolder
    from tcnfast.motifs.motif_folder import MotifFolder
    from tcnfast.motifs.patterns import PatternSet

    rows = (
        b"label\tchrom\tstart\tend\tsummit\tlogit\tcompleteness_gap\nMAX\tchr1\t5\t6\t5\t0.1\tnan\n"
    )
    key = {"command": "attribute", "method": "ism"}
    attributed = {
        "run.json": _json({"key": key, "windows": {"MAX": 1}, "method": "ism"}),
        "attributions.tsv": rows,
    }

    def attributions(path: Path) -> None:
        found = AttributionFolder(path.parent)
        assert found.labels is not None and found.regions is not None

    motifs = {
        "run.json": _json({"key": {"command": "motifs"}}),
        "labels.tsv": b"label\twindows\tpatterns\tseqlets\tnote\nMAX\t9\t1\t5\t\n",
        "motifs.tsv": b"label\tpattern\tsign\tconsensus\nMAX\tpos_0\t+\tACGT\n",
        "matches.tsv": b"label\tpattern\tmatch\nMAX\tpos_0\tM1\n",
    }

    def found_motifs(path: Path) -> None:
        found = MotifFolder(path.parent)
        assert found.labels is not None and found.failed is not None
        assert found.motifs is not None and found.matches is not None

    shares = np.full((6, 4), 0.25)
    place = np.array([1, 2, 3])
    pattern = {"frequencies": shares, "contributions": shares, "hypothetical": shares}
    pattern |= {"window": place, "chrom": np.array(["chr1"] * 3), "start": place}
    pattern |= {"reverse": place > 1, "score": np.float32(place), "distance": place}
    stored = {f"pos_0/{name}": values for name, values in pattern.items()}
    about = dict(label=np.array("MAX"), windows=np.array(9), names=np.array(["pos_0"]))

    def patterns(path: Path) -> None:
        for one in PatternSet.open(path).patterns:
            assert one.consensus is not None and one.sites and len(one.distinct) >= 0

    return [
        *((f"attribution's {x}", [first(x, attributed)], attributions) for x in attributed),
        *((f"motifs' {name}", [first(name, motifs)], found_motifs) for name in motifs),
        ("patterns", [{"x.npz": _npz(**about, **stored)}], patterns),
    ]


def _evaluations() -> Found:
    from tcnfast.evaluate.evaluation_folder import Curves, EvaluationTables

    curves = _npz(
        labels=np.array(LABELS),
        counted=np.array([True, False]),
        recall=np.linspace(0, 1, 3),
        precision=np.zeros((2, 3)),
        edges=np.linspace(0, 1, 3),
        reliability=np.zeros((2, 2, 3)),
    )
    scores = b"label\tAP\tAUROC\tchance\nMAX\t0.5\t0.9\t0.1\nCTCF@K562\tnan\t0.8\t0.2\n"
    return [
        ("curves", [{"curves.npz": curves}], Curves.read),
        ("scores", [{"scores.tsv": scores}], lambda path: EvaluationTables(path.parent).scores),
    ]


def _data() -> Found:
    import tempfile

    from tcnfast.data.prepared import open_prepared
    from tcnfast.scan.many_genomes import read_genomes
    from tcnfast.windows.binary_sets import read_deepbind, read_gue
    from tcnfast.windows.window_set import WindowSet

    from .study import planted_set

    arrays = {
        "codes": np.zeros(100, np.uint8),
        "peaks.start": np.int32([5, 9]),
        "peaks.end": np.int32([15, 19]),
        "peaks.label": np.uint16([0, 1]),
        "peaks.kind": np.uint8([1, 1]),
        "peaks.reach": np.int32([15, 19]),
        "blacklist": np.int64([[0, 3, 8]]),
    }
    prepared = {f"{name}.npy": _npy(values) for name, values in arrays.items()}
    about = {
        "version": 1,
        "labels": LABELS,
        "contigs": [{"name": "chr1", "size": 100, "first_base": 0, "peak_rows": [0, 2]}],
        "blacklisted": 1,
        "peaks": {"train": [1, 1]},
        "rule": {"label_bin": 20, "min_overlap": 10, "summits": False},
        "split": {"train": [["chr1", 0, 50]], "valid": [["chr1", 50, 100]]},
        "files": {},
    }
    prepared["dataset.json"] = _json(about)

    def dataset(path: Path) -> None:
        opened, _, _ = open_prepared(path.parent)
        opened.table("chr1")
        opened.genome.codes("chr1", 0, 20)

    with tempfile.TemporaryDirectory() as folder:
        planted_set(sizes={"train": 6, "valid": 3, "test": 3}, length=90).save(folder)
        windows = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    table = b"name\tpath\tmodel\tbed\none\tg.fa\t\tNA\ntwo\ta.fa, b.fa\tm\tx.bed\n"
    head = b"FoldID\tEventID\tseq\tBound\n"
    positive = head + b"A\tx\tACGTACGTAC\t1\nA\ty\tGGGTACGTAC\t1\nA\tz\tTTTTACGTAC\t1\n"
    held = head + b"B\tx\tACGTACGTAA\t1\nB\ty\tCCGTACGTAC\t0\n"
    gue = b"sequence,label\nACGTACGTAC,1\nACGTTTGTAC,0\n"
    deepbind = {"x_AC.seq": positive, "x_B.seq": held}
    parts = {"train.csv": gue, "dev.csv": gue.replace(b"AAC", b"CCC"), "test.csv": gue.lower()}
    return [
        *((f"data's {x}", [first(x, prepared)], dataset) for x in ("dataset.json", "codes.npy")),
        ("data's peaks", [first("peaks.start.npy", prepared)], dataset),
        ("data's blacklist", [first("blacklist.npy", prepared)], dataset),
        *((f"set's {x}", [first(x, windows)], lambda p: WindowSet.open(p.parent)) for x in windows),
        ("genomes", [{"genomes.tsv": table}], read_genomes),
        ("deepbind", [deepbind], lambda path: read_deepbind(path, path.with_name("x_B.seq"))),
        ("gue", [parts], lambda path: read_gue(*(path.with_name(name) for name in parts))),
    ]


def _npy(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def _settings() -> Found:
    from tcnfast.base.command import asked, with_config
    from tcnfast.cli import build_parser
    from tcnfast.windows.study_config import read_study

    parser = build_parser()
    options = {"stride": 64, "targets": ["MAX"], "device": "cpu", "cutoff": "best", "threads": 2}
    learned = {"channels": 8, "learning-rate": 0.01, "steps": 100, "split": "s.json"}

    def config(*words: str) -> Callable[[Path], object]:
        def read(path: Path) -> None:
            try:
                with redirect_stderr(io.StringIO()):
                    asked(with_config(parser.parse_args([*words, "--config", str(path)])))
            except SystemExit as stop:  # usage, and one line
                assert stop.code == 2

        return read

    study = {
        "sets": {"a": {"windows": "a"}, "b": {"deepbind": ["x", "y"]}},
        "models": {"tcn": {"arch": "tcn", "learning_rate": 0.003}, "danq": {"arch": "danq"}},
        "grids": [{"sets": ["a"], "models": ["tcn", "danq"], "seeds": [0, 1]}],
        "training": {"epochs": 2, "batch_size": 32},
        "tuning": {"set": "a", "learning_rates": [0.001, 0.01]},
        "reference": "tcn",
    }
    return [
        ("settings of scan", [{"c.json": _json(options)}], config("scan", "g.fa")),
        ("settings of train", [{"c.json": _json(learned)}], config("train", "-g", "g.fa")),
        ("study", [{"study.json": _json(study), "a": b"", "x": b"", "y": b""}], read_study),
    ]


def _examined() -> Found:
    from tcnfast.doctor.examine import examine

    texts = {
        "g.fa": b">chr1 words\nACGTNACGTA\nacgtnryswk\nAC\n>chr2\n\n",
        "x.bed": b"chr1\t10\t20\tp\t1000\t.\t5.1\t-1\t-1\t4\nchr2\t30\t40\tp\t9\t.\t5\t-1\t-1\t1\n",
        "v.vcf": b"##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t100\trs1\tA\tC\n",
        "m.json": b'{"train": ["chr1:1-500"], "valid": ["chr1:501-1,000"], "test": ["chr2"]}',
        "m.tsv": b"label\tpath\nCTCF\ta.bed\n",
        "x.bw": (0x888FFC26).to_bytes(4, "little") + bytes(60),
    }
    return [("doctor", [{name: text} for name, text in texts.items()], lambda p: str(examine(p)))]
