"""ENCODE's metadata.tsv: which rows are taken, under which label, and why others are not."""

from pathlib import Path

import pytest
from support.cli import fails

from tcnfast.base.errors import TcnfastError
from tcnfast.data.encode_metadata import read_encode
from tcnfast.data.prepared import open_prepared

# as the portal writes them, but for columns that decide nothing
COLUMNS = (
    "File accession|File format|File type|File format type|Output type|File assembly|"
    "Experiment accession|Assay|Biosample term id|Biosample term name|Biosample organism|"
    "Biosample treatments|Biosample treatments amount|Experiment target|Biological replicate(s)|"
    "Technical replicate(s)|Size|Lab|md5sum|File download URL|File Status|File analysis title|"
    "File analysis status|Audit WARNING|Audit NOT_COMPLIANT|Audit ERROR"
).split("|")
USUAL = {
    "File format": "bed narrowPeak",
    "File type": "bed",
    "Output type": "IDR thresholded peaks",
    "File assembly": "GRCh38",
    "Experiment accession": "ENCSR000AAA",
    "Assay": "TF ChIP-seq",
    "Biosample term name": "K562",
    "Biosample organism": "Homo sapiens",
    "Experiment target": "CTCF-human",
    "Biological replicate(s)": "1, 2",
    "File Status": "released",
    "File analysis title": "ENCODE4 v1.5.1 GRCh38",
    "File analysis status": "released",
}


def metadata(folder, *rows, files=True):
    """metadata.tsv of rows {column: value}, on top of USUAL; each has its file unless not."""
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        values = USUAL | {name.replace("_", " "): value for name, value in row.items()}
        lines.append("\t".join(values.get(name, "") for name in COLUMNS))
        if files and row.get("file", True):
            (folder / f"{row['File accession']}.bed").write_text("chr20\t5\t90\n")
    (folder / "metadata.tsv").write_text("\n".join(lines) + "\n")
    return folder / "metadata.tsv"


def row(accession, **values):
    return {"File accession": accession} | values


def taken(path, **options):
    files, left_out = read_encode(path, **options)
    return {file.path.stem: file.label for file in files}, {x.accession: x.why for x in left_out}


@pytest.mark.parametrize(
    "values, why",
    [
        ({"File format": "bam"}, "format bam"),
        ({"File format": "bed bed3+"}, "format bed bed3+"),
        ({"File assembly": "hg19"}, "assembly hg19"),
        ({"Output type": "peaks and background as input for IDR"}, "output type peaks and"),
        ({"Output type": "pseudoreplicated peaks"}, "output type pseudoreplicated peaks"),
        ({"File Status": "archived"}, "status archived"),
        ({"Experiment target": ""}, "no target"),
        ({"Experiment target": "CTCF"}, "target CTCF without a species"),
        ({"Biosample term name": ""}, "no biosample"),
        ({"Biosample treatments": "dexamethasone"}, "treated: dexamethasone"),
        ({"Audit ERROR": "extremely low read depth"}, "audit error: extremely low read depth"),
        ({"file": False}, "not downloaded"),
    ],
)
def test_rows_that_are_left_out(tmp_path, values, why):
    other = {"Experiment accession": "ENCSR000BBB"}
    path = metadata(tmp_path, row("ENCFF001GOO"), row("ENCFF002BAD", **(other | values)))
    files, left_out = taken(path, assembly="GRCh38")
    assert files == {"ENCFF001GOO": "CTCF@K562"}
    assert list(left_out) == ["ENCFF002BAD"] and left_out["ENCFF002BAD"].startswith(why)


OPTIMAL = {"Output type": "optimal IDR thresholded peaks"}
CONSERVATIVE = {"Output type": "conservative IDR thresholded peaks"}


@pytest.mark.parametrize(
    "worse, better",
    [
        (OPTIMAL, {}),
        (CONSERVATIVE, OPTIMAL),
        ({"Biological replicate(s)": "1"}, {"Biological replicate(s)": "1, 2"}),
        ({"File analysis title": "ENCODE3 GRCh38"}, {"File analysis title": "ENCODE4 v1 GRCh38"}),
        ({"File analysis status": "archived"}, {}),
        (CONSERVATIVE | {"Biological replicate(s)": "1, 2"}, {"Biological replicate(s)": "1"}),
    ],
    ids=["optimal", "conservative", "replicates", "analysis", "archived", "type-before-replicates"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_best_file_of_an_experiment(tmp_path, worse, better, order):
    # by accession alone the worse one would win
    rows = [row("ENCFF999BAD", **worse), row("ENCFF001GOO", **better)][::order]
    files, left_out = taken(metadata(tmp_path, *rows))
    assert files == {"ENCFF001GOO": "CTCF@K562"}
    assert left_out == {"ENCFF999BAD": "ENCFF001GOO of the same experiment is preferred"}


def test_labels_of_experiments(tmp_path):
    """One file each; of one factor in one cell they are joined; dashes belong to the factor."""
    rows = [
        row("ENCFF001AAA"),
        row("ENCFF002AAA", **{"Experiment accession": "ENCSR2"}),
        row("ENCFF003AAA", **{"Experiment accession": "E3", "Experiment target": "NKX2-1-human"}),
        row("ENCFF004AAA", **{"Experiment accession": "E4", "Biosample term name": "MCF-7"}),
    ]
    files, _ = taken(metadata(tmp_path, *rows))
    assert files == {
        "ENCFF001AAA": "CTCF@K562",
        "ENCFF002AAA": "CTCF@K562",
        "ENCFF003AAA": "NKX2-1@K562",
        "ENCFF004AAA": "CTCF@MCF-7",
    }


def test_assemblies(tmp_path):
    old = {"File assembly": "hg19", "Experiment accession": "ENCSR1"}
    path = metadata(tmp_path, row("ENCFF001NEW"), row("ENCFF002OLD", **old))
    for name in ("hg38", "GRCh38"):
        assert list(taken(path, assembly=name)[0]) == ["ENCFF001NEW"]
    for name in ("hg19", "GRCh37"):
        assert list(taken(path, assembly=name)[0]) == ["ENCFF002OLD"]
    with pytest.raises(TcnfastError, match="holds peaks on GRCh38, hg19; choose one by --assembly"):
        read_encode(path)
    with pytest.raises(TcnfastError, match="holds no peaks on mm10, only on GRCh38, hg19"):
        read_encode(path, "mm10")


def test_audit_errors_may_be_allowed(tmp_path):
    path = metadata(tmp_path, row("ENCFF001AAA", **{"Audit ERROR": "low depth"}))
    with pytest.raises(TcnfastError, match="of its 1 row none can be used .*audit error"):
        read_encode(path)
    assert list(taken(path, allow_audit_errors=True)[0]) == ["ENCFF001AAA"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no column 'File accession'"),
        ("label\tpath\nCTCF\tx.bed\n", "is no metadata.tsv of ENCODE"),
        ("\t".join(COLUMNS) + "\n", "has no rows"),
        ("\t".join(COLUMNS) + "\nENCFF1\tbed narrowPeak\n", ":2: 2 columns, the header names 26"),
        ("\t".join(COLUMNS) + "\n" + "x\t" * 30 + "\n", ":2: 31 columns, the header names 26"),
    ],
)
def test_bad_metadata(tmp_path, text, words):
    path = tmp_path / "metadata.tsv"
    path.write_text(text)
    with pytest.raises(TcnfastError, match=words) as info:
        read_encode(path)
    assert str(info.value).startswith(str(path))


def test_prepare_takes_metadata_and_says_what_it_left_out(run, lab):
    rows = [
        row("ENCFF001AAA"),
        row("ENCFF002BBB", **{"Experiment accession": "E2", "Audit ERROR": "x"}),
        row("ENCFF003CCC", **{"Experiment accession": "E3", "File format": "bam"}),
    ]
    path = metadata(lab.folder, *rows, files=False)
    lab.narrowpeak("ENCFF001AAA.bed.gz", lab.peaks["CTCF@K562"], packed=True)
    code, _, err = run(*lab.words("-o", "data", "--encode", path, "--assembly", "hg38"))
    assert code == 0, err
    assert "rows of the metadata left out (2; see left_out.tsv): 1 audit error; 1 format bam" in err
    table = [line.split("\t") for line in Path("data/left_out.tsv").read_text().splitlines()]
    assert table == [
        ["accession", "label", "why"],
        ["ENCFF002BBB", "CTCF@K562", "audit error: x"],
        ["ENCFF003CCC", "CTCF@K562", "format bam"],
    ]
    dataset, _, record = open_prepared("data")
    assert dataset.labels == ["CTCF@K562"] and record["left_out"] == 2
    read = [x["name"] for x in record["inputs"] if x["role"] in ("encode", "peaks")]
    assert read == ["metadata.tsv", "ENCFF001AAA.bed.gz"]
    (lab.folder / "ENCFF001AAA.bed.gz").unlink()
    words = lab.words("-o", "other", "--encode", path, "-q")
    fails(run(*words), "of its 3 rows none can be used", "not downloaded")


def test_versions_of_an_analysis_are_numbers(tmp_path):
    """As text, v1.9.0 came after v1.10.0."""
    path = metadata(
        tmp_path,
        row("A9", File_analysis_title="ENCODE4 v1.9.0 GRCh38"),
        row("A10", File_analysis_title="ENCODE4 v1.10.0 GRCh38"),
        row("A2", File_analysis_title="ENCODE4 v1.2.0 GRCh38"),
        row("A0", File_analysis_title=""),
    )
    assert taken(path)[0] == {"A10": "CTCF@K562"}


def test_the_old_name_of_the_assembly(tmp_path):
    path = metadata(tmp_path, row("A"), row("B", File_assembly="hg19"))
    path.write_text(path.read_text().replace("\tFile assembly\t", "\tAssembly\t", 1))
    assert taken(path, assembly="hg38")[0] == {"A": "CTCF@K562"}


def test_commas_of_cells_are_left_out(tmp_path):
    path = metadata(tmp_path, row("A", Biosample_term_name="CD4-positive, alpha-beta T cell"))
    assert taken(path)[0] == {"A": "CTCF@CD4-positive alpha-beta T cell"}
