"""Fixtures of the tests of train/."""

import pytest
from support.train import planted_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    with planted_dataset(tmp_path_factory.mktemp("planted")) as dataset:
        yield dataset
