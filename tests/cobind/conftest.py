"""Fixtures of the tests of cobind/."""

import pytest
from support.cobind import MOTIFS, train_planted

from tcnfast.pwm.meme import write_meme


@pytest.fixture(name="planted", scope="session")
def fixture_planted(made_once):
    """Folder with model/ and motifs.meme of the planted pairs."""

    def make(folder):
        train_planted().save(folder / "model")
        write_meme(folder / "motifs.meme", MOTIFS, [100] * len(MOTIFS))

    return made_once("planted_pairs", make)
