"""Fixtures of the tests of variants/."""

import pytest
from support.scan import calling_model, random_letters, read_rows, write_fasta
from support.variant import CONTIGS, vcf

from tcnfast import Genome
from tcnfast.variants import variants


@pytest.fixture(name="letters", scope="module")
def fixture_letters():
    """Text of each contig; chr1 has a gap."""
    letters = {name: random_letters(size, i) for i, (name, size) in enumerate(CONTIGS.items())}
    letters["chr1"][2_000:2_040] = ord("N")
    return {name: bytes(text).decode() for name, text in letters.items()}


@pytest.fixture(name="fasta", scope="module")
def fixture_fasta(letters, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    return write_fasta(path, {name: text.encode() for name, text in letters.items()})


@pytest.fixture(name="genome", scope="module")
def fixture_genome(fasta):
    with Genome(fasta) as genome:
        yield genome


@pytest.fixture(name="model", scope="module")
def fixture_model():
    return calling_model(first_kernel=7)


@pytest.fixture(name="saved", scope="module")
def fixture_saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder)
    return folder


@pytest.fixture(name="score")
def fixture_score(fasta, saved, tmp_path):
    """score(rows, **options) -> rows of the table as dicts, the folder."""

    def score(rows, out="out", **options):
        path = vcf(tmp_path / f"{out}.vcf", rows)
        folder = variants(path, fasta, saved, tmp_path / out, device="cpu", **options).path
        head, *body = read_rows(folder / "variants.tsv")
        return [dict(zip(head, row, strict=True)) for row in body], folder

    return score
