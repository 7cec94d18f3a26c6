"""A VCF that tcnfast wrote is read and written again: one set of our fields, those of this run."""

import numpy as np
import pytest

from tcnfast.variants.effect_rows import Rows
from tcnfast.variants.records import Allele, Chunk, VariantFile
from tcnfast.variants.writers import INFO, TsvWriter, VcfWriter

LABELS = ["CTCF@K562", "B, the 2nd"]
KEYS = [name for name, *_ in INFO]
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def written(tmp_path, text, matches=None, effect=1.5, calls=(1, 1)):
    """The VCF that VcfWriter makes of a VCF, its alleles all with this effect."""
    path = tmp_path / "in.vcf"
    path.write_text(text)
    file = VariantFile(path)
    (chunk,) = file.chunks()
    n = len(chunk.alleles)
    rows = rows_of(chunk.alleles, matches, effect, calls)
    writer = VcfWriter(LABELS, [], file.header)
    writer.write_part(tmp_path / "part", chunk, rows)
    writer.join([tmp_path / "part"], tmp_path / "out.vcf")
    assert n
    return (tmp_path / "out.vcf").read_text()


def rows_of(alleles, matches=None, effect=1.5, calls=(1, 1)):
    n = len(alleles)
    values = np.tile(np.float32([effect, effect / 2]), (n, 1))
    columns = {"delta_logit": values, "delta_prob": values / 10}
    matches = np.ones(n, bool) if matches is None else np.array(matches)
    return Rows(alleles, matches, columns, LABELS, np.tile(np.int8(calls), (n, 1)))


def info_of(line):
    pairs = [x.partition("=") for x in line.split("\t")[7].split(";")]
    assert len({key for key, *_ in pairs}) == len(pairs), line
    return {key: value for key, _, value in pairs}


def records_of(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


VCF = (
    f'##fileformat=VCFv4.2\n##INFO=<ID=DP,Number=1,Type=Integer,Description="x">\n{COLUMNS}\n'
    "chr1\t5\ta\tA\tC\t.\tPASS\tDP=7;H2\nchr1\t9\tb\tG\tT,GA\t.\tPASS\t.\n"
)


def test_a_second_run_replaces_the_first(tmp_path):
    first = written(tmp_path, VCF, effect=1.5)
    second = written(tmp_path, first, effect=-2.5, calls=(-1, 0))
    assert second == written(tmp_path, VCF, effect=-2.5, calls=(-1, 0))
    for line in records_of(second):
        assert "-2.5000" in info_of(line)["TCN_DELTA"] and "1.5000" not in line
    for name in KEYS:
        assert second.count(f"##INFO=<ID={name},") == 1
    assert "##INFO=<ID=DP," in second and info_of(records_of(second)[0])["H2"] == ""


def test_a_mismatch_that_is_none_any_more(tmp_path):
    first = written(tmp_path, VCF, matches=[False, False, True])
    assert "TCN_REF_MISMATCH" in records_of(first)[0]
    assert "TCN_REF_MISMATCH" not in "".join(records_of(written(tmp_path, first)))


def test_what_is_not_scored_now_keeps_no_old_score(tmp_path):
    first = written(tmp_path, VCF)
    moved = first.replace("chr1\t5\ta\tA\tC\t", "chr1\t5\ta\tA\t<DEL>\t")
    (line, other) = records_of(written(tmp_path, moved))
    assert info_of(line) == {"DP": "7", "H2": ""} and "TCN_DELTA" in info_of(other)
    bare = first.replace("chr1\t5\ta\tA\tC\t.\tPASS\tDP=7;H2;", "chr1\t5\ta\tA\t<DEL>\t.\tPASS\t")
    assert records_of(written(tmp_path, bare))[0].split("\t")[7] == "."


@pytest.mark.parametrize("columns", [5, 6, 7])
def test_columns_up_to_info_are_added(tmp_path, columns):
    head = "\t".join(COLUMNS.split("\t")[:columns])
    row = "\t".join(["chr1", "5", "a", "A", "C", "30", "PASS"][:columns])
    text = written(tmp_path, f"##fileformat=VCFv4.2\n{head}\n{row}\n")
    assert COLUMNS in text.splitlines()
    (line,) = records_of(text)
    fields = line.split("\t")
    assert fields[:7] == [*row.split("\t"), ".", "."][:7] and info_of(line)["TCN_DELTA"] == "1.5000"


def test_a_record_shorter_than_the_header(tmp_path):
    text = VCF + "chr1\t12\tc\tA\tG\nnonsense\n"
    *_, line, nonsense = records_of(written(tmp_path, text))
    assert info_of(line)["TCN_DELTA"] == "1.5000" and nonsense == "nonsense"


def test_names_are_escaped_and_lists_are_not_split_in_them(tmp_path):
    line = records_of(written(tmp_path, VCF))[0]
    assert info_of(line)["TCN_GAINED"] == "CTCF@K562|B%2C%20the%202nd"
    line = records_of(written(tmp_path, VCF, calls=(0, 0)))[1]
    assert info_of(line)["TCN_LOST"] == ".,." and info_of(line)["TCN_GAINED"] == ".,."
    allele = Allele(0, "chr1", 4, "a", b"A", b"C")
    writer = TsvWriter(LABELS, ["delta_logit"], [])
    writer.write_part(tmp_path / "part", Chunk(), rows_of([allele]))
    assert (tmp_path / "part").read_text().split("\t")[10] == "CTCF@K562,B%2C the 2nd"
