"""The same data from files and from a prepared folder: same split, same tiles, same targets."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.cli import QUICK, data_words
from support.prepare import LABELS, SIZES
from support.scan import files_in

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.data.source import open_source
from tcnfast.data.tile_options import TileOptions
from tcnfast.data.training_tiles import TileSampler

RF, STRIDE = 61, 32


@pytest.fixture
def files(lab):
    return {
        "genome": [str(lab.folder / "g.fa")],
        "peaks": [str(lab.folder / "peaks.bed")],
        "ambiguous": [str(lab.folder / "relaxed.bed")],
        "blacklist": str(lab.folder / "blacklist.bed"),
        "split": str(lab.folder / "split.json"),
    }


@pytest.fixture
def folder(run, lab, files):
    words = [word for name in ("peaks", "ambiguous") for word in (f"--{name}", *files[name])]
    code, _, err = run(*lab.words("-o", "data", *words, "--blacklist", files["blacklist"]))
    assert code == 0, err
    return "data"


@pytest.mark.parametrize("labels", [None, LABELS[::-1], LABELS[1:2]], ids=["all", "turned", "one"])
def test_tiles_and_targets_are_the_same_bit_for_bit(files, folder, labels):
    with open_source(**files, labels=labels) as a, open_source(data=folder, labels=labels) as b:
        assert a.split == b.split and a.dataset.labels == b.dataset.labels
        train = a.split["train"]
        np.testing.assert_array_equal(a.dataset.count_peaks(train), b.dataset.count_peaks(train))
        tiles = TileOptions(stride=STRIDE, batch_size=64, tile_steps=8, seed=5)
        one, two = (TileSampler(x.dataset, train, RF, tiles) for x in (a, b))
        for step in range(5):
            first, second = one.batch(step), two.batch(step)
            np.testing.assert_array_equal(first.codes, second.codes)
            np.testing.assert_array_equal(first.targets, second.targets)
        assert len(np.unique(first.targets)) == 3
        for regions in a.split.values():
            for region in regions:
                want = a.dataset.scored_bins(region, RF, STRIDE)
                got = b.dataset.scored_bins(region, RF, STRIDE)
                for x, y in zip(want, got, strict=True):
                    np.testing.assert_array_equal(x, y)


def test_rare_labels_are_dropped_alike(files, folder):
    with open_source(**files) as a, open_source(data=folder) as b:
        fewest = sorted(a.dataset.count_peaks(a.split["train"]))[1]
        kept, dropped = a.dataset.drop_rare(a.split["train"], fewest)
        again, too = b.dataset.drop_rare(b.split["train"], fewest)
        assert kept.labels == again.labels != LABELS and dropped == too != []
        centres = np.arange(200, SIZES["chr20"] - 200, 11)
        np.testing.assert_array_equal(
            kept.targets("chr20", centres), again.targets("chr20", centres)
        )


def test_inputs_are_named_with_their_hashes(files, folder):
    with open_source(**files) as a, open_source(data=folder) as b:
        names = [name for name, _ in a.inputs]
        assert names == ["g.fa", "peaks.bed", "relaxed.bed", "blacklist.bed", "split.json"]
        digest = hashlib.sha256(Path(files["peaks"][0]).read_bytes()).hexdigest()
        assert ("peaks.bed", digest) in a.inputs
        assert b.inputs[0][0] == "dataset.json" and sorted(b.inputs[1:]) == sorted(a.inputs)


def test_a_folder_is_all_that_is_needed(folder, lab):
    shutil.rmtree(lab.folder)
    moved = Path(folder).rename("elsewhere")
    with open_source(data=str(moved)) as source:
        assert source.dataset.genome.codes("chrX", 0, 5).tolist()
        copy = pickle.loads(pickle.dumps(source.dataset.genome))
        np.testing.assert_array_equal(copy.codes("chrX"), source.dataset.genome.codes("chrX"))


def test_opening_reads_nothing(folder, monkeypatch):
    """Arrays are mapped: what training touches is read then, and what is written stays here."""
    before = Path(folder, "codes.npy").read_bytes()
    with open_source(data=folder) as source:
        codes = source.dataset.genome.codes("chr20")
        assert isinstance(codes.base.base, np.memmap) or isinstance(codes.base, np.memmap)
        assert codes.flags.writeable  # torch.from_numpy takes it without a warning
        codes[:10] = 4
    assert Path(folder, "codes.npy").read_bytes() == before


def test_label_bin_of_a_model(files, folder):
    with open_source(**files, label_bin=100) as source:
        assert source.dataset.label_bin == 100
    with open_source(data=folder, label_bin=200) as source:
        assert source.dataset.label_bin == 200
    words = "prepared with label_bin=200, the model has 100"
    with pytest.raises(TcnfastError, match=words), open_source(data=folder, label_bin=100):
        pass


def test_bad_requests(files, folder):
    for words, request in (
        ("data is required, or genome, peaks and split", {}),
        ("split is required beside peaks; data takes none of them", files | {"split": None}),
        ("peaks: data has it already", files | {"data": folder, "split": files["split"]}),
        ("label 'NONE' is not in this dataset", {"data": folder, "labels": ["NONE"]}),
        ("label 'NONE' has no peaks in", files | {"labels": ["NONE"]}),
        ("is no folder of tcnfast prepare", {"data": "nothing"}),
    ):
        with pytest.raises(TcnfastError, match=words), open_source(**request):
            pass


def damage_json(folder, **values):
    path = Path(folder, "dataset.json")
    record = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: x for name, x in record.items() if x is not None}))


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda f: Path(f, "dataset.json").write_text("{"), "dataset.json: not JSON"),
        (lambda f: damage_json(f, version=9), "has version 9, this tcnfast reads 1"),
        (lambda f: damage_json(f, contigs=None), "dataset.json: damaged"),
        (lambda f: Path(f, "codes.npy").unlink(), "codes.npy: damaged"),
        (lambda f: Path(f, "codes.npy").write_bytes(b"x" * 300), "codes.npy: damaged"),
        (lambda f: cut(f, "peaks.end.npy"), "peaks.end.npy: damaged"),
        (lambda f: np.save(Path(f, "peaks.kind.npy"), np.zeros(3, np.uint8)), "holds uint8"),
        (lambda f: np.save(Path(f, "peaks.label.npy"), np.zeros(999)), "holds float64"),
    ],
    ids=["json", "version", "keys", "missing", "no-array", "cut", "short", "type"],
)
def test_damaged_folders(folder, damage, words):
    damage(folder)
    with pytest.raises(TcnfastError, match=words) as info, open_source(data=folder):
        pass
    assert "\n" not in str(info.value)


def cut(folder, name):
    path = Path(folder, name)
    path.write_bytes(path.read_bytes()[:-8])


def test_prepare_without_blacklist_and_relaxed_peaks(run, lab, files):
    code, _, err = run(*lab.words("-o", "bare", "--peaks", files["peaks"][0]))
    assert code == 0, err
    bare = {name: files[name] for name in ("genome", "peaks", "split")}
    centres = np.arange(200, SIZES["chrX"] - 200, 7)
    with open_source(**bare) as a, open_source(data="bare") as b:
        np.testing.assert_array_equal(
            a.dataset.targets("chrX", centres), b.dataset.targets("chrX", centres)
        )
    # a blacklist of other contigs masks nothing
    (lab.folder / "far.bed").write_text("chrUn\t5\t9\n")
    words = ["--peaks", files["peaks"][0], "--blacklist", lab.folder / "far.bed"]
    code, _, err = run(*lab.words("-o", "far", *words))
    assert code == 0, err
    with open_source(data="bare") as a, open_source(data="far") as b:
        np.testing.assert_array_equal(
            a.dataset.targets("chrX", centres), b.dataset.targets("chrX", centres)
        )


def test_training_and_evaluation_give_the_same_bytes(run, lesson):
    """From peak files to a dataset folder to a model; and from the files at once."""
    code, _, err = run(*["prepare", *data_words(lesson), "-o", "data", "-q"])
    assert code == 0, err
    peaks, split = [lesson / "peaks.bed"], lesson / "split.json"
    made = tcnfast.prepare(lesson / "g.fa", "again", peaks=peaks, split=split)
    assert files_in("data") == files_in("again") and made.labels == list(made.table().label)
    sources = {"files": data_words(lesson), "folder": ["--data", "data"]}
    models, scores = {}, {}
    for name, words in sources.items():
        code, _, err = run("train", *words, "-o", name, *QUICK, "-q")
        assert code == 0, err
        models[name] = Path(name, "model.safetensors").read_bytes()
        code, scores[name], err = run("evaluate", "-m", "files", *words, "--part", "test", "-q")
        assert code == 0, err
    assert models["files"] == models["folder"]
    assert scores["files"] == scores["folder"] != ""
    shape = dict(channels=4, blocks=3, steps=6, epoch_steps=3, batch_size=8, min_peaks=10)
    model = tcnfast.train("data", "python", **shape, precision="fp32", device="cpu")
    assert (model.path / "model.safetensors").read_bytes() == models["files"]
    assert len(model.epochs()) == 2 and list(model.scores("test").label) == model.labels
    evaluation = tcnfast.evaluate("data", "files", part="test")
    assert evaluation.table() == scores["files"] and evaluation.path is None
    assert list(evaluation.frame().label) == model.labels
