"""The networks that score windows: shapes, what they read, how they learn, how they are scored."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.codes import reverse_complement
from tcnfast.windows.architectures import (
    ARCHITECTURES,
    build,
    count_parameters,
    fitted,
    window_scorer,
)
from tcnfast.windows.baseline_network import DeepBind
from tcnfast.windows.forms import AttentionTCN, SingleTaskTCNs, window_tcn
from tcnfast.windows.mapping import InputMapping
from tcnfast.windows.rnn import RNN

LABELS = ["CTCF@K562", "MAX@K562", "REST"]
SMALL = {
    "tcn": {"channels": 6},
    "tcn-causal": {"channels": 6},
    "tcn-attention": {"channels": 6},
    "tcn-single": {"channels": 6},
    "deepbind": {"filters": 6, "hidden_layer": 5},
    "danq": {"filters": 6, "hidden": 4, "hidden_layer": 5},
    "danq-full": {"filters": 6, "hidden": 4, "hidden_layer": 5},
}
# systems of another kind have tests of their own
NETWORKS = [x for x in ARCHITECTURES if x not in ("motif", "pwm", "gkm-svm", "wavelet")]
RECURRENT = {"filters": 6, "hidden": 4}


def small(arch, length=80, mapping="one-hot", **shape):
    """A network none of whose parts is trivial, in evaluation mode."""
    wanted = {**SMALL.get(arch, RECURRENT), **ARCHITECTURES[arch].shape, **shape}
    if arch in ("danq", "deepram", "bilstm", "bigru"):
        wanted |= {k: v for k, v in SMALL.get(arch, {"hidden": 4}).items()}
    torch.manual_seed(3)
    model = build(arch, LABELS, length, mapping, wanted).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
        for name, parameter in model.named_parameters():
            if "head.weight" in name:
                parameter.normal_(std=0.5)
    return model


@pytest.mark.parametrize("arch", NETWORKS)
@torch.no_grad()
def test_every_architecture_scores_windows_one_by_one(make_codes, arch):
    model, codes = small(arch), make_codes(5, 80)
    logits = model(codes)
    assert logits.shape == (5, 3) and logits.std() > 0
    alone = torch.cat([model(window[None]) for window in codes])
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", NETWORKS)
@torch.no_grad()
def test_a_scorer_gives_the_mean_of_both_strands(make_codes, arch):
    model, codes = small(arch), make_codes(7, 80).numpy()
    strands = [model(torch.from_numpy(x.copy())) for x in (codes, reverse_complement(codes))]
    got = window_scorer(model, "cpu", "fp32")(codes)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, sum(strands).numpy() / 2, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", NETWORKS)
def test_a_start_knows_the_rates(make_codes, arch):
    model, rates = build(arch, LABELS, 80), torch.tensor([0.5, 0.1, 0.01])
    model.set_label_rates(rates)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("head.weight"):
                parameter.zero_()
        got = torch.sigmoid(model.eval()(make_codes(2, 80)))
    torch.testing.assert_close(got, rates.expand(2, 3))


@pytest.mark.parametrize("mapping", ["integer", "eiip"])
@torch.no_grad()
def test_mapped_inputs_are_one_channel(mapping):
    read = InputMapping(mapping)(torch.tensor([[0, 1, 2, 3, 4]], dtype=torch.uint8))[0, 0]
    assert (
        read[4] == 0 and abs(read[:4].mean()) < 1e-6 and abs(read[:4].std(correction=0) - 1) < 1e-5
    )
    raw = {"integer": [1, 2, 3, 4], "eiip": [0.1260, 0.1340, 0.0806, 0.1335]}[mapping]
    assert np.corrcoef(read[:4], raw)[0, 1] > 0.99999


@pytest.mark.parametrize("mapping", ["integer", "eiip"])
@torch.no_grad()
def test_a_mapped_tcn_is_a_convolution_over_the_mapped_sequence(make_codes, mapping):
    model, codes = small("tcn", mapping=mapping), make_codes(2, 80)
    conv = model.blocks[0].conv1
    raw = conv.parametrizations.weight.original
    assert raw.shape[1] == 1
    one_hot = F.one_hot(codes.long(), 5)[..., :4].transpose(1, 2).float()
    got = F.conv1d(one_hot, conv.weight)
    torch.testing.assert_close(
        got, F.conv1d(InputMapping(mapping)(codes), raw), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_an_rnn_reads_its_last_states():
    model = RNN(LABELS, 40, filters=0, hidden=4, dropout=0.0).eval()
    codes = torch.randint(0, 4, (3, 40), dtype=torch.uint8)
    x = model.input(codes).transpose(1, 2)
    states, (last, _) = model.recurrent(x)
    torch.testing.assert_close(model.head(torch.cat([last[0], last[1]], 1)), model(codes))
    attention = RNN(LABELS, 40, filters=0, hidden=4, dropout=0.0, readout="attention").eval()
    states, _ = attention.recurrent(x)
    weight = torch.softmax(attention.score(states), 1)
    torch.testing.assert_close(attention.head((weight * states).sum(1)), attention(codes))


@torch.no_grad()
def test_detectors_pool_after_norm_and_relu_or_before_alike(make_codes):
    model = small("conv-bilstm", norm=False)
    detectors, x = model.detectors, model.input(make_codes(3, 80))
    by_hand = F.max_pool1d(
        F.relu(F.conv1d(x, detectors.conv.weight[:, :, 0], detectors.conv.bias)), 8
    )
    torch.testing.assert_close(detectors.pooled(x, 8, 8), by_hand, rtol=1e-4, atol=1e-5)
    summary = DeepBind(LABELS, 80, filters=6, norm=False).detectors
    h = F.relu(F.conv1d(x, summary.conv.weight[:, :, 0], summary.conv.bias))
    torch.testing.assert_close(
        summary.summary(x), torch.cat([h.amax(2), h.mean(2)], 1), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_attention_weighs_places_of_the_same_tcn(make_codes):
    model, codes = small("tcn-attention"), make_codes(2, 80)
    assert isinstance(model, AttentionTCN) and model.tcn.receptive_field < 80
    outputs = model.tcn.dense(codes, model.stride)
    scores, attention = outputs[:, :3], outputs[:, 3:]
    assert outputs.shape[2] > 1
    want = (scores * attention.exp()).sum(2) / attention.exp().sum(2)
    torch.testing.assert_close(model(codes), want)


def test_single_task_tcns_learn_from_their_own_label(make_codes):
    model = build("tcn-single", LABELS, 80, shape={"channels": 6})
    assert isinstance(model, SingleTaskTCNs) and len(model.tcns) == 3
    model.eval()(make_codes(4, 80))[:, 1].sum().backward()
    touched = [
        any(p.grad is not None and p.grad.any() for p in tcn.parameters()) for tcn in model.tcns
    ]
    assert touched == [False, True, False]


def test_a_tcn_sees_the_whole_window():
    for length in (60, 101, 500, 521, 522):
        model = window_tcn(LABELS, length, channels=4)
        assert model.receptive_field >= length
        smaller = window_tcn(LABELS, length, channels=4, blocks=model.config.blocks - 1)
        assert smaller.receptive_field < length
    codes = torch.arange(10, dtype=torch.uint8)[None] % 4
    assert fitted(codes, 13).tolist()[0] == [4, *codes[0].tolist(), 4, 4]
    assert fitted(codes, 7).tolist()[0] == codes[0, 2:9].tolist()


def test_the_tcn_is_no_larger_than_the_recurrent_networks_it_is_held_against():
    labels = [f"label {i}" for i in range(20)]
    sizes = {
        arch: count_parameters(build(arch, labels, 500)) for arch in ("tcn", "conv-bilstm", "danq")
    }
    assert sizes["tcn"] < sizes["conv-bilstm"] < sizes["danq"]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: build("lstm", LABELS, 80), "arch 'lstm': must be one of tcn, "),
        (lambda: build("danq", LABELS, 80, shape={"depth": 3}), "arch danq: .*depth"),
        (lambda: build("tcn", LABELS, 80, "hot"), "mapping 'hot': must be one of one-hot, integer"),
        (lambda: build("danq", LABELS, 30), "RNN: windows of 30 bases are under 38"),
        (lambda: build("conv-bilstm", LABELS, 30), "RNN: windows of 30 bases are under 31"),
        (lambda: build("deepbind", LABELS, 20), "DeepBind: windows of 20 bases are under 24"),
        (lambda: build("bilstm", LABELS, 80, shape={"cell": "rnn"}), "cell 'rnn'"),
    ],
)
def test_what_cannot_be_built(make, words):
    with pytest.raises(TcnfastError, match=words):
        make()
