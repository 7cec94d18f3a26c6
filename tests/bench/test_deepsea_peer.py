"""The peer network: DeepSEA's shape, windows that share their convolutions, the same training."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.dataset import intervals
from support.scan import random_letters, write_fasta

from benchmarks.studies.peer_cnn import CNN, CNNConfig, CNNPlan
from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import Dataset
from tcnfast.evaluate.predict import evaluate, predict
from tcnfast.genome.codes import reverse_complement
from tcnfast.genome.genome import Genome, Region
from tcnfast.train.fit import fit
from tcnfast.train.train_config import TrainConfig

pytestmark = pytest.mark.checkout

LABELS = ["CTCF@K562", "MAX@K562", "REST"]
TRAIN, VALID = [Region("chr1", 0, 70_000)], [Region("chr1", 70_000, 120_000)]
FP32 = dict(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A genome bound by one label where it is rich in G and C, by another where it is poor."""
    rng, letters, rows = np.random.default_rng(4), random_letters(120_000), []
    for index, start in enumerate(range(300, 119_000, 700)):
        start += int(rng.integers(0, 300))
        pair = (b"GC", b"AT")[index % 2]
        letters[start : start + 200] = rng.choice(np.frombuffer(pair + b"ACGT", np.uint8), 200)
        rows.append(("chr1", start, start + 200, ("rich", "poor")[index % 2]))
    path = write_fasta(tmp_path_factory.mktemp("genome") / "genome.fa", {"chr1": letters})
    with Genome(path) as genome:
        yield Dataset(genome, intervals(rows), ["poor", "rich"])


def small(labels=LABELS, widths=(6, 7, 8), hidden=9, seed=0, **config):
    torch.manual_seed(seed)
    model = CNN(CNNConfig(list(labels), widths=widths, hidden=hidden, **config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
        model.head.weight.normal_(std=0.5)
    return model


def by_the_paper(model, codes):
    """DeepSEA's layers one after the other, on windows (N, 1000)."""
    h = F.one_hot(codes.long(), 5)[..., :4].transpose(1, 2).to(model.head.weight.dtype)
    for index, conv in enumerate(model.convs):
        h = F.conv1d(h, conv.weight.squeeze(2), conv.bias).relu()
        if index < 2:
            h = F.max_pool1d(h, 4, 4)
    assert h.shape[-1] == 53
    return model.head(model.hidden(h.flatten(1)).relu())


def test_it_is_deepsea():
    with torch.device("meta"):
        model = CNN(CNNConfig([f"feature {i}" for i in range(919)]))
    # the count in table 1 of DanQ (Quang and Xie 2016)
    assert sum(p.numel() for p in model.parameters()) == 52_843_119


@torch.no_grad()
def test_a_window(make_codes):
    model, codes = small().double(), make_codes(4, 1000)
    want = by_the_paper(model, codes)
    assert want.std() > 0.1
    torch.testing.assert_close(model(codes), want)
    one_hot = F.one_hot(codes.long(), 5)[..., :4].transpose(1, 2).double()
    torch.testing.assert_close(model(one_hot), want)


@pytest.mark.parametrize("stride, extra", [(16, 0), (32, 0), (32, 31), (48, 5), (1024, 1)])
@torch.no_grad()
def test_windows_share_convolutions(make_codes, stride, extra):
    model, codes = small().double(), make_codes(2, 1000 + 4 * stride + extra)
    want = [by_the_paper(model, codes[:, at * stride :][:, :1000]) for at in range(5)]
    torch.testing.assert_close(model.dense(codes, stride), torch.stack(want, 2))


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_a_plan_scores_strands(make_codes, strand):
    model, codes = small(), make_codes(1000 + 6 * 32 + 7).numpy()
    windows = np.stack([codes[at * 32 :][:1000] for at in range(7)])
    with torch.no_grad():
        plus = model(torch.from_numpy(windows))
        minus = model(torch.from_numpy(reverse_complement(windows)))
    want = {"+": plus, "-": minus, "both": (plus + minus) / 2}[strand]
    got = CNNPlan(model, strand=strand, **FP32)(codes)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    half = CNNPlan(model, "cpu", "bf16", strand=strand)(codes)
    assert half.dtype == torch.float32 and 0 < (half - want).abs().max() < 0.1


def test_a_score_is_of_the_window_around_its_label_bin(dataset):
    model = small(["poor", "rich"])
    logits, targets = predict(CNNPlan(model, **FP32), dataset, VALID)
    centres, want = dataset.scored_bins(VALID[0], 1000, 32)
    np.testing.assert_array_equal(targets, want)
    for index in (0, 1, len(centres) // 2, len(centres) - 1):
        codes = dataset.genome.codes("chr1", centres[index] - 500, centres[index] + 500)
        with torch.no_grad():
            alone = model(torch.from_numpy(codes.copy())[None])[0].numpy()
        np.testing.assert_allclose(logits[index], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda model, x: model(x[:, :999]), "windows of 1000 bases, not 999"),
        (lambda model, x: model.dense(x[:, :999], 32), "999 bases are under the window of 1000"),
        (lambda model, x: model.dense(x, 8), "stride 8: .* multiple of 16"),
        (lambda model, x: CNNPlan(model, strand="minus"), "strand 'minus': must be one of"),
        (lambda model, x: CNNPlan(model, precision="fp64"), "precision 'fp64': .* fp32 or bf16"),
        (lambda model, x: CNNPlan(model, device="abacus"), "device 'abacus'"),
    ],
)
def test_what_it_cannot_do(make_codes, act, words):
    with pytest.raises(TcnfastError, match=words):
        act(small(), make_codes(1, 1000))


@pytest.mark.parametrize("tile_steps", [1, 4])
def test_the_same_loop_trains_it(dataset, tile_steps):
    torch.manual_seed(0)
    model = CNN(CNNConfig(dataset.labels, (16, 16, 16), hidden=16, dropout=(0, 0, 0)))
    steps = dict(steps=80, epoch_steps=40, batch_size=32, tile_steps=tile_steps)
    config = TrainConfig(**steps, precision="fp32", mutate=0.0)
    before = evaluate(CNNPlan(model, **FP32), dataset, VALID).macro("ap")
    epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False, make_plan=CNNPlan)
    assert [epoch.step for epoch in epochs] == [40, 80]
    after = evaluate(CNNPlan(model, **FP32), dataset, VALID).macro("ap")
    assert after == max(epoch.scores.macro("ap") for epoch in epochs)
    assert before < 0.5 < 0.7 < after, (before, after)
