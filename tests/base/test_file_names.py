"""Names of files that are named after labels."""

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.base.file_names import file_names


def test_file_names():
    labels = ["CTCF@K562", "a b/c", "H3K4me3+", "x:y", "NKX2-5"]
    assert file_names(labels) == ["CTCF@K562", "a_b_c", "H3K4me3+", "x_y", "NKX2-5"]


def test_labels_that_share_a_file_name_raise():
    with pytest.raises(TcnfastError, match="labels 'a/b' and 'a:b' share a file name"):
        file_names(["a/b", "c", "a:b"])
