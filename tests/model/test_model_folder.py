"""The folder a model is kept in: round trips, and broken folders."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.model.load_model import load_model
from tcnfast.model.model_folder import ModelFolder
from tcnfast.model.thresholds import Threshold

FILES = {"model.safetensors", "config.json", "labels.tsv", "thresholds.tsv"}


@pytest.fixture
def saved(make_model, tmp_path):
    """A calibrated model and the folder it was saved in."""
    model = make_model(first_kernel=7, alignment="causal", dropout=0.2, label_bin=100)
    model.thresholds = {
        label: Threshold(label, 0.125 + 0.25 * i, 0.5, 0.25, 30 + i)
        for i, label in enumerate(model.labels)
    }
    model.save(tmp_path / "model")
    return model, tmp_path / "model"


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_round_trip_is_bitwise(make_model, make_codes, tmp_path, norm):
    model = make_model(norm=norm)
    model.save(tmp_path / "new" / "model")
    loaded = load_model(str(tmp_path / "new" / "model"))
    assert loaded.config == model.config and loaded.thresholds is None
    assert not loaded.training
    want, got = model.state_dict(), loaded.state_dict()
    assert want.keys() == got.keys()
    for name in want:
        assert torch.equal(got[name], want[name]) and got[name].dtype == want[name].dtype
    codes = make_codes(2, 100)
    assert torch.equal(loaded(codes), model(codes))


def test_thresholds_come_back(saved):
    model, folder = saved
    loaded = load_model(folder)
    assert loaded.thresholds == model.thresholds and loaded.config == model.config
    model.thresholds = None
    model.save(folder)
    assert load_model(folder).thresholds is None, "thresholds of an older model stayed behind"


def test_a_label_without_test_windows_comes_back(saved):
    model, folder = saved
    model.thresholds["REST"] = Threshold("REST", 0.5, float("nan"), float("nan"), 0)
    model.save(folder)
    row = load_model(folder).thresholds["REST"]
    assert row.precision != row.precision and row.positives == 0


def test_a_folder_holds_safetensors_json_and_tables(saved):
    _, folder = saved
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    rows = (folder / "labels.tsv").read_text().splitlines()
    assert rows == [
        "label\ttf\tcell",
        "CTCF@K562\tCTCF\tK562",
        "MAX@K562\tMAX\tK562",
        "REST\tREST\t",
    ]


def test_loading_unpickles_nothing(saved, monkeypatch):
    model, folder = saved

    def refuse(*_, **__):
        raise RuntimeError("pickle")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    load_model(folder)


def drop(name):
    return lambda folder: (folder / name).unlink()


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def edit(name, change):
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def edit_config(**changes):
    return edit("config.json", lambda text: json.dumps(json.loads(text) | changes))


def edit_tensors(change):
    def apply(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return apply


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder):
    torch.save({"head.bias": torch.zeros(3)}, folder / "model.safetensors")


BROKEN = {
    "no-weights": (drop("model.safetensors"), "model.safetensors", "is missing"),
    "no-config": (drop("config.json"), "config.json", "is missing"),
    "no-labels": (drop("labels.tsv"), "labels.tsv", "is missing"),
    "config-not-json": (write("config.json", b"{'format': 1}"), "config.json", "not JSON"),
    "config-binary": (write("config.json", b"\xff\xfe\x00"), "config.json", "not JSON"),
    "config-a-list": (write("config.json", b"[1]"), "config.json", "not a tcnfast model"),
    "foreign-config": (write("config.json", b'{"a": 1}'), "config.json", "not a tcnfast model"),
    "unknown-key": (edit_config(colour="red"), "config.json", "colour"),
    "labels-in-config": (edit_config(labels=["x"]), "config.json", "labels"),
    "other-format": (edit_config(format=2), "config.json", "format must be 1"),
    "bad-value": (edit_config(norm="layer"), "config.json", "norm 'layer'"),
    "value-of-other-type": (edit_config(channels="5"), "config.json", "channels '5'"),
    "sizes-that-overflow": (edit_config(channels=2**40), "config.json", "65536 is a slip"),
    "context-that-overflows": (edit_config(blocks=400), "config.json", "is a slip"),
    "sizes-of-48-GB": (edit_config(channels=65536), "model.safetensors", "not (65536,"),
    "other-shape": (edit_config(channels=6), "model.safetensors", "not (6,"),
    "truncated": (truncate, "model.safetensors", "no safetensors"),
    "empty-weights": (write("model.safetensors", b""), "model.safetensors", "no safetensors"),
    "pickle": (pickled, "model.safetensors", "no safetensors"),
    "tensor-missing": (
        edit_tensors(lambda t: t.pop("head.bias")),
        "model.safetensors",
        "head.bias is missing",
    ),
    "tensor-foreign": (
        edit_tensors(lambda t: t.update(extra=torch.zeros(2))),
        "model.safetensors",
        "extra belongs to another model",
    ),
    "tensor-shape": (
        edit_tensors(lambda t: t.update({"head.bias": torch.zeros(4)})),
        "model.safetensors",
        "head.bias is (4,), not (3,)",
    ),
    "label-more": (
        edit("labels.tsv", lambda text: text + "X\tX\t\n"),
        "labels.tsv",
        "not those, in their order",
    ),
    "label-more-in-an-older-folder": (
        lambda folder: (
            edit("config.json", lambda text: re.sub('"labels_sha256": "[^"]*",', "", text))(folder),
            edit("labels.tsv", lambda text: text + "X\tX\t\n")(folder),
        ),
        "thresholds.tsv",
        "no threshold for label 'X'",
    ),
    "label-twice": (
        edit("labels.tsv", lambda text: text.replace("MAX@K562\t", "CTCF@K562\t")),
        "labels.tsv",
        "there twice",
    ),
    "no-label-at-all": (write("labels.tsv", b"label\n"), "labels.tsv", "label"),
    "labels-column": (
        edit("labels.tsv", lambda text: text.replace("label", "name", 1)),
        "labels.tsv",
        "column 'label' is missing",
    ),
    "labels-ragged": (
        edit("labels.tsv", lambda text: text.replace("\tMAX\t", "\t")),
        "labels.tsv:3",
        "2 columns, its header has 3",
    ),
    "labels-empty": (write("labels.tsv", b""), "labels.tsv", "column 'label' is missing"),
    "labels-binary": (write("labels.tsv", b"\xff\xfe"), "labels.tsv", "not a text table"),
    "thresholds-label": (
        edit("thresholds.tsv", lambda text: text.replace("MAX@", "MIN@")),
        "thresholds.tsv",
        "no threshold for label 'MAX@K562'",
    ),
    "thresholds-column": (
        edit("thresholds.tsv", lambda text: text.replace("recall", "sensitivity")),
        "thresholds.tsv",
        "column 'recall' is missing",
    ),
    "threshold-0": (
        edit("thresholds.tsv", lambda text: text.replace("0.375", "0")),
        "thresholds.tsv:3",
        "no probability",
    ),
    "threshold-1": (
        edit("thresholds.tsv", lambda text: text.replace("0.125", "1.0")),
        "thresholds.tsv:2",
        "no probability",
    ),
    "threshold-nan": (
        edit("thresholds.tsv", lambda text: text.replace("0.125", "nan")),
        "thresholds.tsv:2",
        "no probability",
    ),
    "threshold-word": (
        edit("thresholds.tsv", lambda text: text.replace("0.625", "high")),
        "thresholds.tsv:4",
        "high",
    ),
}


@pytest.mark.parametrize("fault, file, word", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_folder_names_the_file_at_fault(saved, fault, file, word):
    _, folder = saved
    fault(folder)
    with pytest.raises(TcnfastError) as info:
        load_model(folder)
    message = str(info.value)
    assert str(folder) in message and file in message.split(" (by ")[0] and word in message
    assert "\n" not in message


def test_names_of_no_model(tmp_path):
    with pytest.raises(TcnfastError, match=r"model nonesuch: no such folder, nor a bundled model"):
        load_model("nonesuch")
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(TcnfastError, match="is a file; a model is a folder holding model.safeten"):
        load_model(path)


def test_bundled_models_are_found_by_name(saved, monkeypatch, tmp_path):
    from tcnfast.model import model_folder

    model, folder = saved
    (tmp_path / "bundled").mkdir()
    folder.rename(tmp_path / "bundled" / "small-v1")
    monkeypatch.setattr(model_folder.resources, "files", lambda package: tmp_path)
    assert load_model("small-v1").config == model.config
    with pytest.raises(TcnfastError, match=r"a bundled model \(small-v1\)"):
        load_model("small-v2")


def test_a_plan_takes_a_folder_or_a_name(saved, make_codes):
    model, folder = saved
    codes = make_codes(1, 400)
    want = tcnfast.Plan(model, "cpu", "fp32")(codes)
    for name in (folder, str(folder)):
        assert torch.equal(tcnfast.Plan(name, "cpu", "fp32")(codes), want)
    assert tcnfast.Plan("encode-v1", "cpu").labels == ModelFolder("encode-v1").labels


TAKE_A_MODEL = {
    "load_model": lambda name: load_model(name),
    "Plan": lambda name: tcnfast.Plan(name),
    "scan": lambda name: tcnfast.scan("g.fa", name),
    "attribute": lambda name: tcnfast.attribute("g.fa", name, bed="p.bed"),
    "variants": lambda name: tcnfast.variants("a.vcf", "g.fa", name),
    "cobind.motifs": lambda name: tcnfast.cobind.motifs(name),
    "cobind.sites": lambda name: tcnfast.cobind.sites("g.fa", name, peaks="p.bed"),
    "evaluate": lambda name: tcnfast.evaluate("data", name),
    "average": lambda name: tcnfast.average([name, name], "data"),
    "report": lambda name: tcnfast.report([], name, genome="g.fa"),
    "export": lambda name: tcnfast.export(name),
    "info": lambda name: tcnfast.info(name),
    "labels": lambda name: tcnfast.labels(model=name),
    "bench": lambda name: tcnfast.bench(name),
}


@pytest.mark.parametrize("take", TAKE_A_MODEL.values(), ids=TAKE_A_MODEL)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_name_is_looked_up_alike_wherever_a_model_is_taken(take, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.fa").write_text(">chr1\nACGT\n")
    (tmp_path / "p.bed").write_text("chr1\t0\t4\tCTCF@GM12878\n")
    (tmp_path / "a.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t1\t.\tA\tC\n"
    )
    with pytest.raises(TcnfastError, match=r"^model encode-w1: .* did you mean encode-v1"):
        take(kind("encode-w1"))


def test_a_folder_is_read_without_its_weights(saved):
    model, path = saved
    (path / "model.safetensors").unlink()
    folder = ModelFolder(path)
    assert folder.labels == model.labels and folder.thresholds == model.thresholds
    assert folder.config["label_bin"] == 100 and folder.record == {}
    assert folder.name == "model" and ModelFolder.holds_model(path)
    with pytest.raises(TcnfastError, match="model.safetensors is missing"):
        folder.state()


def test_the_table_of_a_folder_has_a_row_a_label(saved):
    model, path = saved
    table = ModelFolder(path).table()
    assert list(table.label) == model.labels
    assert list(table.threshold) == [model.thresholds[label].threshold for label in model.labels]
    model.thresholds = None
    model.save(path)
    assert list(ModelFolder(path).table().columns) == ["label", "tf", "cell"]


def test_tables_that_are_not_there_are_named(saved):
    _, path = saved
    with pytest.raises(TcnfastError, match=r"train.tsv: cannot be read \(No such file"):
        ModelFolder(path).epochs()
    (path / "scores.test.tsv").write_text("")
    with pytest.raises(TcnfastError, match="scores.test.tsv: not a table"):
        ModelFolder(path).scores("test")


def test_labels_are_bound_to_the_head(saved, make_codes):
    """Rows that changed places gave each output the name of another."""
    model, folder = saved
    table = folder / "labels.tsv"
    text = table.read_text()
    head, *rows = text.splitlines(keepends=True)
    table.write_text(head + "".join(rows[::-1]))
    with pytest.raises(TcnfastError, match="labels.tsv: its labels are not those, in their order"):
        load_model(folder)
    with pytest.raises(TcnfastError, match="put the rows back"):
        ModelFolder(folder).labels  # noqa: B018
    table.write_text(text.replace("\tcell", "\tcell\tnote").replace("K562\n", "K562\tmine\n"))
    table.write_text(table.read_text().replace("REST\tREST\t\n", "REST\tREST\t\tno cell\n"))
    assert load_model(folder).labels == model.labels
    # as older versions wrote it
    config = json.loads((folder / "config.json").read_text())
    assert len(config.pop("labels_sha256")) == 64
    (folder / "config.json").write_text(json.dumps(config))
    table.write_text(head + "".join(rows[::-1]))
    assert load_model(folder).labels == model.labels[::-1]


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_model_is_opened_without_the_compiler_of_pytorch(make_model, tmp_path, symmetric):
    """Its import makes a folder in TMPDIR, which nobody deletes, and takes half a second."""
    make_model(channels=6, symmetric=symmetric).save(tmp_path / "model")
    (tmp_path / "tmp").mkdir()
    code = "import sys, tcnfast; tcnfast.load_model(sys.argv[1]); "
    code += "print('torch._dynamo' in sys.modules or 'sympy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model"],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n", done.stderr
    assert os.listdir(tmp_path / "tmp") == []
