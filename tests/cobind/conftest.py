"""Fixtures of the tests of cobind/."""

import pytest
from support.cobind import MOTIFS, train_planted

from tcnfast.pwm.meme import write_meme


@pytest.fixture(name="planted", scope="session")
def fixture_planted(tmp_path_factory):
    """Folder with model/ and motifs.meme of the planted pairs."""
    folder = tmp_path_factory.mktemp("planted_pairs")
    train_planted().save(folder / "model")
    write_meme(folder / "motifs.meme", MOTIFS, [100] * len(MOTIFS))
    return folder
