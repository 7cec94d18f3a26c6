"""Fixtures of the tests of motifs/."""

import pytest
from support.motif import planted_windows, write_attributions, write_genome, write_known


@pytest.fixture(name="planted_folder", scope="session")
def fixture_planted_folder(tmp_path_factory):
    """A folder with attributions/ of three labels (ONE@x: two motifs that raise the score; TWO@x:
    one that lowers it; FEW@x: too few windows), known.meme and genome.fa; and the truth of ONE@x.
    """
    folder = tmp_path_factory.mktemp("planted")
    first, truth, genome = planted_windows("ONE@x", {"ONE": 1.0, "TWO": 1.0}, 160)
    second, _, _ = planted_windows("TWO@x", {"TWO": -1.0}, 90, seed=1)
    few, _, _ = planted_windows("FEW@x", {"ONE": 1.0}, 12, seed=2)
    write_attributions(folder / "attributions", first, second, few)
    write_known(folder / "known.meme")
    write_genome(folder / "genome.fa", genome)
    return folder, truth
