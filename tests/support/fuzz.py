"""Every parser of files that strangers write, with sound files to begin from, and ways to break
them.

What a parser makes of any bytes is a result or one line; anything else is a defect.
"""

from __future__ import annotations

import gzip
import io
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tcnfast.base.errors import TcnfastError

from .fuzz_folders import folders

SIZES = {"chr1": 1000, "chr2": 500}
# what broke parsers before: numbers at the ends of types, blanks, marks, line ends, brackets
TOKENS = [
    *(b"\n", b"\r", b"\r\n", b"\t", b" ", b"\0", b">", b">\n", b"#", b",", b"@", b"=", b"-", b"."),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\x80", "\u2028".encode(), b"\x1f\x8b", b"\x85", b"~", b"*"),
    *(b"0", b"-1", b"1e308", b"1e999", b"nan", b"inf", b"NA", b"4294967296", b"2147483648"),
    *(b"9223372036854775808", b"18446744073709551616", b"9" * 5000, b"N" * 70, b"x" * 300),
    *(b"{", b"}", b"[" * 3000, b"]", b'"', b"null", b"true", b"[]", b"{}", b"1_0", b"0x10"),
]


FOLD = b'{"training_chroms": ["chr1"], "validation_chroms": ["chr2"], "n": 3}'
MOTIFS = [  # JASPAR, its bare form, TRANSFAC and HOMER
    b">MA0004.1\tArnt\nA  [ 4 19  0 ]\nC  [16  0 20 ]\nG  [ 0  1  0 ]\nT  [ 0  0  0 ]\n",
    b">MA0004.1 Arnt\n4 19 0\n16 0 20\n0 1 0\n0 0 0\n",
    b"AC  M1\nXX\nID  V$MYOD_01\nNA  MyoD\nP0  A  C  G  T\n01  1 2 2 0 S\n02  3 0 2 0 R\nXX\n//\n",
    b">ASTT\tAP-1(bZIP)/Jun-ChIP/Homer\t6.04\t-9\n0.4\t0.3\t0.2\t0.1\n0.1\t0.1\t0.1\t0.7\n",
]


@dataclass(frozen=True)
class Parser:
    """``seeds``: files, name to bytes, the first of which is mutated; ``read(path)`` of that."""

    name: str
    seeds: list[dict[str, bytes]]
    read: Callable[[Path], object]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one to six changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at, other = rng.randint(0, len(data)), rng.randint(0, len(data))
        begin, end = min(at, other), min(max(at, other), min(at, other) + rng.choice((1, 4, 50)))
        kind = rng.randrange(8)
        if kind == 0:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif kind == 1:
            data = data[:begin] + data[end:]
        elif kind == 2:
            data = data[:begin] + rng.choice(TOKENS) + data[end:]
        elif kind == 3:
            data = data[:at] + data[begin:end] + data[at:]
        elif kind == 4 and data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif kind == 5:
            lines = data.split(b"\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            data = b"\n".join(lines)
        elif kind == 6:
            words = data.split(b"\t")
            words[rng.randrange(len(words))] = rng.choice(TOKENS)
            data = b"\t".join(words)
        elif rng.randrange(4) == 0:
            data = data[:at]
        else:  # a word of four bytes, as counts and offsets are
            word = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, rng.randrange(2**32)))
            data = data[:at] + word.to_bytes(4, "little") + data[at + 4 :]
    return data


def place(seed: dict[str, bytes], folder: Path, data: bytes | None = None) -> Path:
    """Write the files of a seed to ``folder``, in which nothing else is left, the first of them
    with ``data``; returns that one's path."""
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path)
    broken = next(iter(seed))
    for name, content in seed.items():
        (folder / name).parent.mkdir(exist_ok=True)
        given = name == broken and data is not None
        (folder / name).write_bytes(data if given else content)
    return folder / broken


def check(parser: Parser, seed: dict[str, bytes], data: bytes, folder: Path) -> None:
    """Read ``data`` in the place of the seed's first file; AssertionError where that is neither a
    result nor one line."""
    place(seed, folder, data)
    first = next(iter(seed))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parser.read(folder / first)
    except TcnfastError as error:
        text = str(error)
        assert text and text.isprintable() and len(text) < 3000, (parser.name, text)
    except Exception as error:
        raise AssertionError(f"{parser.name}: {type(error).__name__}: {error}: {data!r}") from error


def parsers() -> dict[str, Parser]:
    found = [*_of_sequence(), *_of_places(), *_of_motifs_and_variants(), *_of_tables_and_arrays()]
    found += [*_model_parsers(), *(Parser(*found) for found in folders())]
    return {parser.name: parser for parser in found}


_BED = b"track x\nchr1\t10\t20\tname\t0\t+\nchr2\t0\t500\tb\t1\t-\nchr9\t5\t7\n"
_PEAK = b"chr1\t10\t20\tp\t1000\t.\t5.1\t-1\t-1\t4\nchr2\t30\t40\tp\t9\t.\t5\t-1\t-1\t-1\n"
_TABLE = b"#chrom\tstart\tend\ttf\tcell\tsummit\nchr1\t1\t9\tCTCF\tK562\t4\nchr2\t2\t5\tA\tB\t3\n"
_MANIFEST = b"label\tpath\tambiguous_path\tcell\nCTCF\ta.bed\t.\tK562\nMAX\tb.bed\tc.bed\t\n"
_SPLIT = b'{"train": ["chr1:1-500"], "valid": ["chr1:501-1,000"], "test": ["chr2"]}'


def _of_sequence() -> list[Parser]:
    from tcnfast.genome.genome import Genome
    from tcnfast.genome.index_fasta import compare_files

    fasta = b">chr1 words\nACGTNACGTA\nacgtnryswk\nAC\n>chr2\n\n>chr3\nGG GG\n"
    plain = fasta.replace(b"GG GG", b"GGGGG")
    fai = b"chr1\t22\t12\t10\t11\nchr2\t0\t43\t0\t0\nchr3\t5\t50\t5\t6\n"
    both = {"g.2bit": _twobit(plain), "g.fa": plain}

    def genome(path: Path) -> None:
        with Genome(path) as opened:
            for name in opened.sizes:
                opened.codes(name)

    def same(path: Path) -> None:
        compare_files(path.with_suffix(".fa"), path)

    one = [{"g.fa": fasta}, {"g.fa": gzip.compress(fasta)}, {"g.fa": plain}]
    index = {"g.fa.fai": fai, "g.fa": plain}
    return [
        Parser("fasta", one, genome),
        Parser("fasta beside an index", [{"g.fa": plain, "g.fa.fai": fai}], genome),
        Parser("fai", [index], lambda path: genome(path.with_name("g.fa"))),
        Parser("2bit", [{"g.2bit": _twobit(plain)}], genome),
        Parser("2bit beside a fasta", [both], same),
    ]


def _of_places() -> list[Parser]:
    from tcnfast.data.encode_metadata import read_encode
    from tcnfast.data.manifest import read_manifest
    from tcnfast.data.splits import read_split
    from tcnfast.genome.genome import parse_region
    from tcnfast.genome.intervals import read_bed, read_labelled

    def region(path: Path) -> None:
        parse_region(path.read_bytes().decode(errors="replace"))

    def both(path: Path) -> None:
        read_bed(path, SIZES, allow_missing=True, summits=True)
        read_bed(path)

    gz, beds = gzip.compress, {name: _BED for name in ("a.bed", "b.bed", "c.bed")}
    tables, splits = [{"x.bed": _TABLE}, {"x.bed": gz(_TABLE)}], [{"split.json": _SPLIT}]
    return [
        Parser("bed", [{"x.bed": _BED}, {"x.bed": _PEAK}, {"x.bed": gz(_PEAK)}], both),
        Parser("peaks", tables, lambda path: read_labelled(path, SIZES)),
        Parser("split", [*splits, {"fold.json": FOLD}], lambda path: read_split(path, SIZES)),
        Parser("manifest", [{"m.tsv": _MANIFEST, **beds}], read_manifest),
        Parser("encode metadata", [{"metadata.tsv": _encode(), "E1.bed": _PEAK}], read_encode),
        Parser("region", [{"region": b"chr1:1-1,000"}, {"region": b"HLA-A*01:01"}], region),
    ]


def _of_motifs_and_variants() -> list[Parser]:
    from tcnfast.pwm.motif_formats import read_motifs
    from tcnfast.variants.records import VariantFile

    meme = (
        b"MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nMOTIF M1 MAX::MYC\n"
        b"letter-probability matrix: alength= 4 w= 2 nsites= 5 E= 0\n"
        b"0.5 0.5 0.0 0.0\n0.2 0.2 0.2 0.4\n"
    )
    dreme = b'# DREME\nMEME version 5\nALPHABET "DNA" DNA-LIKE\nA "A" 1 ~ T "T" 2\nC ~ G\nEND\n'
    dreme += meme[meme.index(b"MOTIF") :]

    def variants(path: Path) -> None:
        for chunk in VariantFile(path).chunks(3):
            for row in chunk.skipped:
                row.as_line()

    gz = gzip.compress
    return [
        Parser("meme", [{"x.meme": meme}, {"x.meme": dreme}, {"x.meme": gz(meme)}], read_motifs),
        Parser("motifs", [{"x.motif": text} for text in MOTIFS], read_motifs),
        Parser("vcf", [{"v.vcf": _VCF}, {"v.vcf": gz(_VCF)}, {"v.tsv": _VARIANTS}], variants),
    ]


def _of_tables_and_arrays() -> list[Parser]:
    from tcnfast.attribute.attributions import Attributions
    from tcnfast.base.arrays import read_array, read_arrays
    from tcnfast.base.tables import read_frame, read_object
    from tcnfast.windows.window_recipe import read_recipe

    def npz(path: Path) -> None:
        read_arrays(path, "attributions", "attribute")

    recipe = b'{"name": "x", "labels": ["CTCF"], "length": 200}'
    return [
        Parser("npz", [{"x.npz": _npz(True)}, {"x.npz": _npz(False)}], npz),
        Parser("attributions", [{"x.npz": _attributions()}], Attributions.open),
        Parser("npy", [{"x.npy": _npy()}], read_array),
        Parser("json", [{"x.json": _SPLIT}], read_object),
        Parser("table", [{"x.tsv": _TABLE}, {"x.tsv": _MANIFEST}], read_frame),
        Parser("recipe", [{"r.json": recipe}], read_recipe),
    ]


_VCF = (
    b"##fileformat=VCFv4.3\n##INFO=<ID=DP>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    b"chr1\t100\trs1\tA\tC,<DEL>,*\t.\tPASS\tDP=3\nchr2\t7\t.\tACGT\tA\t9\t.\t.\n"
)
_VARIANTS = b"chrom\tpos\tref\talt\tid\nchr1\t5\tA\tC\trs\nchr2\t9\tN\tACG\t.\n"


def _twobit(fasta: bytes) -> bytes:
    import tempfile

    from tcnfast.genome.twobit_write import write_twobit

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "g.fa")
        path.write_bytes(fasta)
        write_twobit(path, path.with_suffix(".2bit"), lambda n: None)
        return path.with_suffix(".2bit").read_bytes()


def _npz(compressed: bool) -> bytes:
    out, save = io.BytesIO(), np.savez_compressed if compressed else np.savez
    save(out, codes=np.zeros((3, 5), np.uint8), values=np.ones((3, 5), np.float16))
    return out.getvalue()


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.ones((3, 5), np.float16))
    return out.getvalue()


def _attributions() -> bytes:
    out = io.BytesIO()
    np.savez(
        out,
        label=np.str_("CTCF"),
        method=np.str_("ism"),
        chrom=np.array(["chr1", "chr2"]),
        start=np.array([5, 9]),
        codes=np.zeros((2, 7), np.uint8),
        hypothetical=np.zeros((2, 4, 7), np.float32),
        logit=np.zeros(2, np.float32),
    )
    return out.getvalue()


def _encode() -> bytes:
    row = {
        "File accession": "E1",
        "File format": "bed narrowPeak",
        "Output type": "IDR thresholded peaks",
        "File assembly": "GRCh38",
        "Experiment accession": "X1",
        "Experiment target": "CTCF-human",
        "Biosample term name": "K562",
        "Biosample treatments": "",
        "Biological replicate(s)": "1, 2",
        "File Status": "released",
        "File analysis title": "ENCODE4 v1.9.0",
        "File analysis status": "released",
        "Audit ERROR": "",
    }
    other = {**row, "File analysis title": "ENCODE4 v1.10.0"}
    return "\n".join("\t".join(x) for x in (row, row.values(), other.values())).encode()


def _model_parsers() -> list[Parser]:
    import tempfile

    from tcnfast.model.load_model import load_model
    from tcnfast.model.model_folder import CONFIG, LABELS, THRESHOLDS, WEIGHTS
    from tcnfast.model.tcn import TCN, TCNConfig
    from tcnfast.model.thresholds import Threshold

    model = TCN(TCNConfig(labels=["CTCF@K562", "MAX"], channels=2, blocks=2))
    model.thresholds = {x: Threshold(x, 0.3, 0.5, 0.5, 9, {}) for x in model.labels}
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        names = (CONFIG, LABELS, THRESHOLDS, WEIGHTS)
        files = {name: Path(folder, name).read_bytes() for name in names}
    return [
        Parser(
            f"model's {name}",
            [{name: files[name], **files}],
            lambda path: load_model(path.parent),
        )
        for name in names
    ]
