"""Dense tracks in zarr: what they keep, and what a reader without tcnfast sees."""

import errno
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from full_disk import FullDisk
from support.track import random_logits

from tcnfast.base import run_record
from tcnfast.base.errors import TcnfastError

zarr = pytest.importorskip("zarr")

from tcnfast.scan import zarr_tracks  # noqa: E402
from tcnfast.scan.zarr_tracks import ZarrStretch, ZarrTracks, encode, table  # noqa: E402

STRIDE, CHUNK = 32, 128  # steps, where a test makes them short
SIZES = {"chr1": 32 * 300 - 7, "chr2": 32 * CHUNK, "chr3": 5}
LABELS = ["CTCF@K562", "MAX", "a label", *(f"label{i}" for i in range(8))]


@pytest.fixture(params=["uint8", "fp16"])
def kind(request):
    return request.param


@pytest.fixture(name="tracks")
def fixture_tracks(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(ZarrTracks, "CHUNK_STEPS", CHUNK)
    return ZarrTracks.create(tmp_path / "z", SIZES, LABELS, STRIDE, kind, {"model": "m"})


def logits_of(steps, seed=0):
    """Random walks with gaps, and a stretch of no score that covers a chunk."""
    logits = random_logits(steps, len(LABELS), seed)
    logits[CHUNK : 2 * CHUNK + 3] = np.nan
    return logits


def put(tracks, chrom, first_step, logits):
    tracks.put(chrom, first_step, encode(logits, tracks.kind))


def probability(logits):
    return 1 / (1 + np.exp(-np.float64(logits)))


def within_bounds(probabilities, logits, kind):
    """Whether probabilities are as near to those of the logits as the kind promises."""
    assert np.array_equal(np.isnan(probabilities), np.isnan(logits))
    known = ~np.isnan(logits)
    x, p = np.float64(logits[known]), np.float64(probabilities[known])
    if kind == "uint8":
        off = np.full(x.shape, 1 / 32)
        x = np.clip(x, -8, 7.875)
    else:
        off = np.maximum(np.abs(x) / 2048, 2.0**-25)
    slack = 1e-6
    return np.all((p >= probability(x - off) - slack) & (p <= probability(x + off) + slack))


# values


def test_what_is_put_comes_back_within_the_bounds_that_are_stated(tracks, kind):
    want = {chrom: logits_of(tracks.steps(chrom), i) for i, chrom in enumerate(SIZES)}
    assert [len(x) for x in want.values()] == [300, CHUNK, 1]
    for chrom, logits in want.items():
        put(tracks, chrom, 0, logits)
    again = ZarrTracks.open(tracks.group.store.root, mode="r")
    assert again.group.attrs["tcnfast"] == run_record.version()
    assert (again.labels, again.sizes, again.stride, again.kind) == (LABELS, SIZES, STRIDE, kind)
    for chrom, logits in want.items():
        for label in ("CTCF@K562", LABELS[-1]):
            got = again.probabilities(chrom, label)
            assert got.dtype == np.float32
            assert within_bounds(got, logits[:, LABELS.index(label)], kind)
    part = again.probabilities("chr1", "MAX", 20, 31)
    np.testing.assert_array_equal(part, again.probabilities("chr1", "MAX")[20:31])


def test_levels_by_hand():
    logits = np.float32([[-8, -8 + 1 / 33, 0, 7.875], [-99, 1 / 31, 99, np.nan]])
    assert encode(logits, "uint8").tolist() == [[0, 0, 128, 254], [0, 129, 254, 255]]
    infinite = encode(np.float32([[-np.inf, np.inf, -8 - 1 / 16]]), "uint8")
    assert infinite.tolist() == [[0, 254, 0]]
    assert table()[128] == 0.5 and np.isnan(table()[255]) and len(table()) == 256
    assert (np.diff(table()[:255]) > 0).all()


def test_a_level_is_the_nearest():
    logits = np.float32(np.random.default_rng(0).normal(scale=4, size=(20_000, 3)))
    middle = np.arange(255) / 16 - 8
    want = np.abs(logits[:, :, None] - middle).argmin(-1)
    got = encode(logits, "uint8")
    # where two are as near, rounding may choose
    apart = np.abs(np.abs(logits - middle[want]) - 1 / 32) > 1e-5
    assert np.array_equal(got[apart], want[apart])


def test_columns_are_the_labels_among_others(kind):
    logits, columns = logits_of(300), np.arange(len(LABELS))[::-1].copy()
    assert np.array_equal(
        encode(logits, kind, columns), encode(logits[:, columns], kind), equal_nan=True
    )
    wide = np.concatenate([np.full((300, 4), 3, np.float32), logits[:, columns]], axis=1)
    assert np.array_equal(encode(wide, kind, columns + 4), encode(logits, kind), equal_nan=True)


# chunks


def test_pieces_of_any_length_give_the_same_as_one(tracks, kind):
    logits, rng = logits_of(300), np.random.default_rng(1)
    for _ in range(20):
        cuts = np.unique(rng.integers(0, 301, rng.integers(0, 9))).tolist()
        stretch = ZarrStretch(tracks, "chr1")
        for first, last in zip([0, *cuts], [*cuts, 300], strict=True):
            if not np.isnan(logits[first:last]).all():  # what has no score need not come
                stretch.add(first, logits[first:last])
        stretch.finish()
        np.testing.assert_array_equal(tracks.group["chr1"][:], encode(logits, kind))
        tracks.group["chr1"][:] = 0


def test_a_stretch_in_the_middle_leaves_the_others_alone(tracks, kind):
    logits = logits_of(300)
    stretch = ZarrStretch(tracks, "chr1", 2 * CHUNK, 300)
    stretch.add(2 * CHUNK + 10, logits[2 * CHUNK + 10 :])
    stretch.finish()
    got = tracks.probabilities("chr1", "MAX")
    assert np.isnan(got[: 2 * CHUNK + 10]).all() and not np.isnan(got[2 * CHUNK + 10 :]).all()


def test_a_chunk_without_a_score_takes_no_file(tracks):
    put(tracks, "chr1", 0, logits_of(300))
    root = tracks.group.store.root
    chunks = {path.parent.name for path in root.glob("chr1/c/*/*")}
    assert chunks == {"0", "2"}  # 1 lies in the gap
    put(tracks, "chr1", 0, np.full((300, len(LABELS)), np.nan, np.float32))
    assert not list(root.glob("chr1/c/*/*"))


@pytest.mark.parametrize("first, n", [(1, 127), (0, 100), (128, 128 + 100), (256, 45)])
def test_only_whole_chunks_are_put(tracks, first, n):
    """Others would be read and written again, which two processes must not do at once."""
    with pytest.raises(ValueError, match="not whole chunks"):
        put(tracks, "chr1", first, logits_of(n))


def test_another_number_of_labels_is_refused(tracks):
    with pytest.raises(ValueError, match="3 columns for 11 labels"):
        put(tracks, "chr2", 0, np.zeros((CHUNK, 3), np.float32))


def put_half(folder, half):
    """For another process: one half of chr1 at the true length of chunks."""
    tracks = ZarrTracks.open(folder)
    stretch = ZarrStretch(tracks, "chr1", half * 2**16, (half + 1) * 2**16)
    x = random_logits(2**16, 9, half)
    for first in range(0, 2**16, 9999):
        stretch.add(half * 2**16 + first, x[first : first + 9999])
    stretch.finish()


def test_processes_write_one_folder(tmp_path):
    ZarrTracks.create(tmp_path / "z", {"chr1": 2 * 2**16}, LABELS[:9], 1, "uint8")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(put_half, [tmp_path / "z"] * 2, range(2)))
    want = np.concatenate([encode(random_logits(2**16, 9, half), "uint8") for half in range(2)])
    np.testing.assert_array_equal(ZarrTracks.open(tmp_path / "z").group["chr1"][:], want)
    assert not list((tmp_path / "z").rglob("*.partial"))


# other readers

PLAIN = """
import json, sys
import numpy as np, zarr

group = zarr.open(sys.argv[1], mode="r")
array, facts = group["chr1"], dict(group.attrs)
values = array[:, group["label"][:].tolist().index("MAX")]
if facts["kind"] == "uint8":
    values = np.array(facts["probabilities"], float)[values]
else:
    values = 1 / (1 + np.exp(-values.astype(float)))
assert "tcnfast" not in sys.modules
print(json.dumps([values.tolist(), facts["stride"], facts["model"], facts["sizes"]]))
"""


def test_a_reader_with_zarr_alone(tracks, kind):
    logits = logits_of(300)
    put(tracks, "chr1", 0, logits)
    command = [sys.executable, "-I", "-c", PLAIN, str(tracks.group.store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    values, *facts = json.loads(done.stdout)
    assert facts == [STRIDE, "m", SIZES]
    assert within_bounds(np.array(values), logits[:, 1], kind)


def test_xarray_decodes_logits_by_itself(tracks, kind):
    xarray = pytest.importorskip("xarray")
    logits = logits_of(300)
    put(tracks, "chr1", 0, logits)
    with xarray.open_zarr(tracks.group.store.root) as dataset:
        assert set(dataset) == set(SIZES) and dataset.chr1.dims == ("chr1_step", "label")
        got = dataset.chr1.sel(label="MAX").values
    assert within_bounds(probability(got), logits[:, 1], kind)


# what goes wrong


def test_without_zarr_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    for make in (
        lambda: ZarrTracks.create(tmp_path / "z", SIZES, LABELS, STRIDE, "uint8"),
        lambda: ZarrTracks.open(tmp_path / "z"),
    ):
        with pytest.raises(TcnfastError, match="pip install"):
            make()


def test_an_old_zarr_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr, "__version__", "2.18.7")
    with pytest.raises(TcnfastError, match="need zarr 3.1.3, here is 2.18.7"):
        ZarrTracks.create(tmp_path / "z", SIZES, LABELS, STRIDE, "uint8")


@pytest.mark.parametrize("chrom", ["a/b", "label", "..", "__x", "zarr.json", ""])
def test_a_contig_that_cannot_name_an_array(tmp_path, chrom):
    with pytest.raises(TcnfastError, match="--chroms"):
        ZarrTracks.create(tmp_path / "z", {"chr1": 10, chrom: 10}, LABELS, STRIDE, "uint8")
    assert not (tmp_path / "z").exists()


def test_odd_names_of_contigs_are_kept(tmp_path):
    sizes = {"HLA-A*01:01": 64, "chr 1|x": 64, "c": 64, "0": 64}
    tracks = ZarrTracks.create(tmp_path / "z", sizes, LABELS, STRIDE, "uint8")
    for chrom in sizes:
        put(tracks, chrom, 0, np.zeros((2, len(LABELS)), np.float32))
    again = ZarrTracks.open(tmp_path / "z")
    assert all(again.probabilities(chrom, "MAX").tolist() == [0.5, 0.5] for chrom in sizes)


def test_other_folders_and_kinds_are_refused(tmp_path):
    with pytest.raises(TcnfastError, match="kind 'int4'"):
        ZarrTracks.create(tmp_path / "z", SIZES, LABELS, STRIDE, "int4")
    with pytest.raises(TcnfastError, match="holds no zarr tracks"):
        ZarrTracks.open(tmp_path / "z")
    zarr.create_group(tmp_path / "other")
    with pytest.raises(TcnfastError, match="no tracks of tcnfast scan"):
        ZarrTracks.open(tmp_path / "other")


def test_a_label_that_is_not_there(tracks):
    with pytest.raises(TcnfastError, match="no label 'CTCF'"):
        tracks.probabilities("chr1", "CTCF")


def test_a_full_disk_is_an_error_and_leaves_no_half_chunk(tmp_path, monkeypatch, kind):
    from zarr.storage import _local

    # one group of labels: zarr writes several at once, and one may end after another has failed
    labels = LABELS[: zarr_tracks.LABEL_GROUP]
    monkeypatch.setattr(ZarrTracks, "CHUNK_STEPS", CHUNK)
    tracks = ZarrTracks.create(tmp_path / "z", SIZES, labels, STRIDE, kind, {"model": "m"})
    logits = logits_of(300)[:, : len(labels)]
    put(tracks, "chr1", 0, logits)
    before = tracks.group["chr1"][:]
    opened = _local.Path.open
    monkeypatch.setattr(_local.Path, "open", lambda *args: FullDisk(opened(*args), 50))
    with pytest.raises(OSError, match="No space left") as error:
        put(tracks, "chr1", 0, logits + 1)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    np.testing.assert_array_equal(tracks.group["chr1"][:], before)
    assert not list(tracks.group.store.root.rglob("*.partial"))


def test_the_layout_is_the_one_measured(tmp_path):
    tracks = ZarrTracks.create(tmp_path / "z", {"chr1": 2**24}, LABELS, 1, "uint8")
    assert tracks.group["chr1"].chunks == (2**16, zarr_tracks.LABEL_GROUP)
