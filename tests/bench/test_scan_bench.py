"""What a scan is compared with: DeepBind is DeepBind, and a genome of hg38's size has its sizes."""

import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import random_model
from support.scan import random_letters, write_fasta

from benchmarks.scan import peers as scan_peers
from benchmarks.scan import whole_genome
from benchmarks.scan.scan import same_calls
from tcnfast.bench.speed import Clock
from tcnfast.engines.plain_stack import LAYOUTS
from tcnfast.genome.genome import Genome

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parents[2]


ARCHIVE = ROOT.parent / "shared" / "data" / "peers" / "deepbind_v011_params.tar.xz"


def made_up(both=1, mean_too=1, hidden=3, seed=0):
    """The file of a model of 2 detectors of width 5."""
    rng = np.random.default_rng(seed)
    features = 2 * (1 + mean_too)
    numbers = {
        "reverse_complement": [both],
        "num_detectors": [2],
        "detector_len": [5],
        "has_avg_pooling": [mean_too],
        "num_hidden": [hidden],
        "detectors": rng.normal(size=40),
        "thresholds": rng.normal(size=2),
        "weights1": rng.normal(size=features * (hidden or 1)),
        "biases1": rng.normal(size=hidden or 1),
        "weights2": rng.normal(size=hidden),
        "biases2": rng.normal(size=int(hidden > 0)),
    }
    lines = [f"{key} = {','.join(map(str, value))}" for key, value in numbers.items()]
    return "\n".join(["# deepbind 0.1", *lines]), numbers


def by_hand(numbers, codes):
    """DeepBind of one window, position by position."""
    detectors = np.reshape(numbers["detectors"], (5, 4, 2))
    letters = np.concatenate([np.eye(4), np.full((1, 4), 0.25)])

    def strand(x):
        hits = [np.einsum("wc,wcd->d", x[at : at + 5], detectors) for at in range(len(x) - 4)]
        hits = np.maximum(np.array(hits) + numbers["thresholds"], 0)
        features = hits.max(0)
        if numbers["has_avg_pooling"][0]:
            features = np.stack([hits.max(0), hits.mean(0)], 1).ravel()
        width = numbers["num_hidden"][0] or 1
        out = features @ np.reshape(numbers["weights1"], (-1, width)) + numbers["biases1"]
        if numbers["num_hidden"][0]:
            out = np.maximum(out, 0) @ numbers["weights2"] + numbers["biases2"]
        return float(np.squeeze(out))

    x = letters[codes]
    both = numbers["reverse_complement"][0]
    return max(strand(x), strand(x[::-1, ::-1])) if both else strand(x)


@pytest.mark.parametrize("both, mean_too, hidden", list(product([0, 1], [0, 1], [0, 3])))
def test_deepbind_by_hand(both, mean_too, hidden):
    text, numbers = made_up(both, mean_too, hidden)
    model = scan_peers.parse("made up", text)
    codes = np.random.default_rng(1).integers(0, 5, (2, 60), np.uint8)
    want = [[by_hand(numbers, row[at : at + 20]) for at in range(0, 41, 8)] for row in codes]
    for layout in LAYOUTS:
        network = scan_peers.DeepBind([model], layout, torch.float64, window=20, stride=8)
        got = network(torch.from_numpy(codes))
        np.testing.assert_allclose(got[..., 0], want, rtol=1e-5, atol=1e-6)


def test_models_as_one_convolution_score_as_each():
    models = [scan_peers.parse(str(seed), made_up(seed=seed)[0]) for seed in range(3)]
    codes = torch.randint(0, 5, (2, 200), dtype=torch.uint8)
    alone = torch.cat([scan_peers.DeepBind([m], window=20)(codes) for m in models], -1)
    torch.testing.assert_close(scan_peers.DeepBind(models, window=20)(codes), alone)
    other = scan_peers.parse("other", made_up(hidden=0)[0])
    with pytest.raises(ValueError, match="more than one shape"):
        scan_peers.DeepBind([models[0], other])


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the shared data are not here")
def test_scores_of_deepbinds_own_program():
    scan_peers.check_examples(scan_peers.Archive(ARCHIVE))


@pytest.mark.parametrize("form", ["window", "dense", "pruned"])
def test_our_network_in_plain_pytorch_scores_the_same(form, make_codes, monkeypatch):
    monkeypatch.setattr(scan_peers, "BATCHES", {"cpu": (32,)})
    monkeypatch.setattr(scan_peers, "SEGMENTS", {"cpu": (256,)})
    monkeypatch.setattr(scan_peers, "CHECKED", 64)
    model, stride = random_model(first_kernel=7), 4
    codes = make_codes(1024 + model.receptive_field - stride)
    peers = [p for p in scan_peers.networks(model, stride, torch.device("cpu")) if form in p.family]
    assert {p.precision for p in peers} >= {"fp32"} and len(peers) >= 2
    for peer in peers:
        assert scan_peers.error(peer, model, stride, codes) <= scan_peers.TOLERANCE[peer.precision]
    peers[0].run = lambda codes, run=peers[0].run: run(codes).roll(1, 0)
    with pytest.raises(AssertionError, match="off by"):
        scan_peers.error(peers[0], model, stride, codes)


def test_the_fastest_of_a_family_is_taken():
    def after(ms):
        return lambda codes: time.sleep(ms / 1000)

    peers = [scan_peers.Peer("f", str(ms), after(ms), 10, 0, "fp32") for ms in (300, 1, 600)]
    clock, codes = Clock(torch.device("cpu")), torch.zeros(100)
    best = scan_peers.fastest(iter(peers), clock, codes)
    assert {family: peer.detail for family, peer in best.items()} == {"f": "1"}


def test_a_genome_of_hg38s_sizes(tmp_path):
    sizes = whole_genome.HG38
    assert len(sizes) == 24 and sum(sizes.values()) == 3_088_269_832
    source = write_fasta(tmp_path / "s.fa", {"a": random_letters(7_001), "b": b"NNNN"})
    small = whole_genome.sizes(1e-4)
    path = tmp_path / "g.fa"
    whole_genome.write_fasta(path, small, whole_genome.tiled([source]))
    assert path.stat().st_size == whole_genome.file_size(small)
    with Genome(path) as genome, Genome(source) as given:
        assert genome.sizes == small
        letters = np.concatenate([genome.codes(chrom) for chrom in small])
        tile = np.concatenate([given.codes("a"), given.codes("b")])
    assert np.array_equal(letters, np.resize(tile, len(letters)))


def test_letters_of_a_seed(tmp_path):
    first, again, other = (whole_genome.drawn(seed)(1000) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.unique(first).tobytes() == b"ACGT"


def test_calls_that_differ_are_told(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name / "peaks").mkdir(parents=True)
        (tmp_path / name / "peaks" / "l.narrowPeak").write_text(text)
    same_calls(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError, match="differs"):
        same_calls(tmp_path / "a", tmp_path / "c")
