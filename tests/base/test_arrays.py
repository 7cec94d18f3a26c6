"""Arrays of strangers are data, and no more of it than their file holds."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from tcnfast.base.arrays import read_array, read_arrays
from tcnfast.base.errors import TcnfastError


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def archive(members, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return out.getvalue()


class Evil:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


GOOD = npy(np.arange(3))
BAD = [
    (b"", "not a zip file"),
    (b"junk" * 100, "not a zip file"),
    (archive([("a.npy", npy(np.array([Evil()], object)))]), "object, neither numbers nor text"),
    (archive([("a.npy", pickle.dumps([1]))]), "magic"),
    (archive([("a.npy", GOOD), ("a", GOOD)]), "a is there twice"),
    (archive([("a.npy", GOOD[:-8])]), "holds 16 bytes, (3,) takes 24"),
    (archive([("a.npy", GOOD)], zipfile.ZIP_BZIP2), "in another way than numpy does"),
    (archive([("a.npy", GOOD)], zipfile.ZIP_LZMA), "in another way than numpy does"),
    (archive([("a.npy", npy(np.zeros(3, [("x", "i4")])))]), "neither numbers nor text"),
    (archive([("a.npy", npy(np.zeros(3, "M8[s]")))]), "neither numbers nor text"),
    (archive([("a.npy", GOOD.replace(b"(3,), }   ", b"(9999999,)"))]), "no header of numpy"),
    (archive([("a.npy", GOOD.replace(b"(3,), }     ", b"(9999999,), }"))]), "takes 79,999,992"),
    (archive([("a.npy", GOOD.replace(b"(3,), }", b"(-3,),}"))]), "the shape (-3,)"),
]


@pytest.mark.parametrize("data, words", BAD)
def test_what_is_no_plain_data_is_refused(tmp_path, data, words):
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(TcnfastError) as info:
        read_arrays(path, "attributions", "attribute")
    assert words in str(info.value) and f"{path}: no attributions of tcnfast" in str(info.value)


def test_a_claim_beyond_the_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "x.npz"
    whole = bytearray(archive([("a.npy", GOOD)]))
    at = whole.rindex(b"PK\x01\x02")  # the sizes in the directory
    whole[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(bytes(whole))
    with pytest.raises(TcnfastError, match="claims 2,147,483,648 bytes, more than the file can"):
        read_arrays(path, "attributions", "attribute")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path, save):
    rng = np.random.default_rng(0)
    wanted = {
        "a": rng.random((3, 4)).astype(np.float16),
        "b/c": np.asfortranarray(rng.integers(0, 9, (2, 5, 3))),
        "text": np.array(["chr1", "Ω"]),
        "one": np.str_("CTCF"),
        "none": np.empty((0, 4), np.uint8),
    }
    save(tmp_path / "x.npz", **wanted)
    got = read_arrays(tmp_path / "x.npz", "x", "y")
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == np.asarray(array).dtype and got[name].flags.writeable
    np.save(tmp_path / "x.npy", wanted["b/c"])
    np.testing.assert_array_equal(read_array(tmp_path / "x.npy"), wanted["b/c"])
    (tmp_path / "x.npy").write_bytes(npy(np.array([Evil()], object)))
    with pytest.raises(TcnfastError, match="neither numbers nor text"):
        read_array(tmp_path / "x.npy")
