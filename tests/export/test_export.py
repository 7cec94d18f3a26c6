"""ONNX graphs give the numbers of the reference under onnxruntime."""

import sys

import numpy as np
import pytest
import torch
from numerics import assert_close
from support.models import random_model

import tcnfast
from tcnfast.model.ensemble import Ensemble


def test_without_onnx_one_line_says_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, out, err = run("export", "encode-v1", "-o", tmp_path / "model.onnx")
    assert code == 1 and out == ""
    assert "onnx is not installed: pip install 'tcnfast[export]'" in err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def scored(tmp_path):
    """scored(model, codes, ...): logits of the exported graph, and its session."""
    pytest.importorskip("onnx", reason="onnx is not installed: the extra export")
    runtime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")

    def score(model, codes, **options):
        path = tcnfast.export(model, tmp_path / "model.onnx", force=True, **options)
        about = runtime.SessionOptions()
        about.intra_op_num_threads = 1
        session = runtime.InferenceSession(path, about, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {"codes": codes.numpy()})[0]), session

    return score


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize(
    "shape, stride",
    [
        (dict(), 1),
        (dict(), 16),
        (dict(first_kernel=15, alignment="causal"), 4),
        (dict(kernel_size=2, blocks=6, norm="weight"), 8),
        (dict(blocks=3), 64),
        (dict(symmetric=True, channels=6, first_kernel=15), 8),
    ],
    ids=["dense", "pruned", "wide-first-causal", "weight-norm", "beyond-the-top", "symmetric"],
)
def test_a_graph_gives_the_numbers_of_the_reference(scored, make_codes, shape, stride, strand):
    model = random_model(**shape)
    for length in (model.receptive_field, model.receptive_field + 3 * stride + 1):
        codes = make_codes(2, length)
        logits, _ = scored(model, codes, stride=stride, strand=strand)
        plan = tcnfast.Plan(model, "cpu", "fp64", stride, "reference", strand)
        plain = tcnfast.Plan(model, "cpu", "fp32", stride, "reference", strand)
        assert_close(logits, plan(codes), plain(codes))


def test_an_ensemble_of_two_kinds_counts_every_member_alike(scored, make_codes):
    model = Ensemble([random_model(), random_model(symmetric=True, channels=6)])
    codes = make_codes(1, model.receptive_field + 40)
    logits, _ = scored(model, codes, stride=8)
    exact, plain = (
        tcnfast.Plan(model, "cpu", precision, 8, "reference", "both")(codes)
        for precision in ("fp64", "fp32")
    )
    assert_close(logits, exact, plain)


def test_the_file_says_what_it_is(scored, make_codes):
    model = tcnfast.load_model("encode-v1")
    _, session = scored("encode-v1", make_codes(1, model.receptive_field))
    about = session.get_modelmeta().custom_metadata_map
    assert about["labels"].split("\n") == model.labels
    assert about["receptive_field"] == str(model.receptive_field)
    assert (about["stride"], about["strand"]) == ("32", "both")


def test_an_existing_file_is_kept(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: the extra export")
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(tcnfast.TcnfastError, match="exists"):
        tcnfast.export("encode-v1", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_a_wrong_tap_would_be_seen(scored, make_codes, monkeypatch):
    """Planted error: residuals one position late."""
    pytest.importorskip("onnx", reason="onnx is not installed: the extra export")
    from tcnfast.export import onnx_file

    every = onnx_file.Graph.every

    def late(self, x, start, end, step):
        return every(self, x, start + 1, end + 1 if end < -1 else sys.maxsize, step)

    monkeypatch.setattr(onnx_file.Graph, "every", late)
    model = random_model()
    codes = make_codes(1, model.receptive_field + 16)
    logits, _ = scored(model, codes, stride=8)
    exact, plain = (
        tcnfast.Plan(model, "cpu", precision, 8, "reference", "both")(codes)
        for precision in ("fp64", "fp32")
    )
    with pytest.raises(AssertionError):
        assert_close(logits, exact, plain)
    assert np.isfinite(logits.numpy()).all()
