"""Fixtures of the tests of report/."""

import pytest
from support.models import random_model
from support.motif import planted_windows, write_attributions, write_genome
from support.report import (
    LABELS,
    ROWS,
    pattern_of,
    write_evaluation,
    write_folder,
    write_motifs,
    write_scan,
)

from tcnfast.motifs.patterns import PatternSet


@pytest.fixture(name="folders", scope="session")
def fixture_folders(tmp_path_factory):
    """A folder of motifs/ attributions/ evaluation/ scan/ model/ genome.fa peaks.bed."""
    home = tmp_path_factory.mktemp("report")
    attributions, truth, genome = planted_windows("ONE@x", {"ONE": 1.0, "TWO": 1.0}, ROWS)
    other, their_truth, _ = planted_windows(LABELS[1], {"TWO": -1.0}, 12, seed=4)
    write_attributions(home / "attributions", attributions, other)
    write_genome(home / "genome.fa", genome)
    both = [("pos_0", "ONE"), ("pos_1", "TWO")]
    found = [pattern_of(attributions, truth, name, motif) for name, motif in both]
    one = PatternSet("ONE@x", ROWS, found)
    two = PatternSet(LABELS[1], 12, [pattern_of(other, their_truth, "neg_0", "TWO", -1.0)])
    write_motifs(write_folder(home / "motifs", "motifs", motifs="known.meme"), one, two)
    write_evaluation(write_folder(home / "evaluation", "evaluate"))
    write_scan(write_folder(home / "scan", "scan"), truth)
    random_model(LABELS, blocks=3).save(home / "model")
    (home / "model" / "README.md").write_text("# a card with <angles>\n")
    start = sorted(at for at, _ in truth["ONE"])
    lines = [f"chr1\t{at - 50}\t{at + 60}\tONE@x\n" for at in start]
    (home / "peaks.bed").write_text("#chrom\tstart\tend\tlabel\n" + "".join(lines))
    return home
