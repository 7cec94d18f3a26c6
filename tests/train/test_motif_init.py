"""First filters that start at motifs."""

import numpy as np
import pytest
import torch

from tcnfast.engines.reference import channels_last, conv
from tcnfast.genome.codes import encode, one_hot
from tcnfast.pwm.meme import Motif
from tcnfast.train.motif_init import set_motif_filters


def motif(name, site, id=None):
    """A motif that is sure of its site."""
    return Motif(name, id or name, np.clip(one_hot(encode(site.encode())).T, 0.01, 0.97))


def responses(model, sequence):
    """What every filter gives at every position of a sequence: (channels, positions)."""
    with torch.no_grad():
        x = channels_last(torch.from_numpy(one_hot(encode(sequence.encode())))[None])
        return conv(x, model.blocks[0].conv1.weight)[0, :, 0]


def small(make_model, **config):
    config = {"labels": ["REST@a", "REST@b", "GATA1@a"], "first_kernel": 9, **config}
    return make_model(**{"channels": 8, **config})


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_filters_are_the_motifs_on_both_strands(make_model, norm):
    model = small(make_model, norm=norm)
    before = model.blocks[0].conv1.weight.detach().clone()
    used = set_motif_filters(model, [motif("GATA1", "AGATAAGG"), motif("REST", "TTCAGCACC")])
    assert used == ["REST", "GATA1"]
    after = model.blocks[0].conv1.weight.detach()
    torch.testing.assert_close(after[4:], before[4:])
    assert responses(model, "TTCAGCACC").argmax() == 0
    assert responses(model, "GGTGCTGAA").argmax() == 1
    norms = after.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms[:4], before.flatten(1).norm(dim=1).mean().expand(4))


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_a_pair_of_a_symmetric_network_is_a_motif_and_its_reverse_complement(make_model, norm):
    model = small(make_model, norm=norm, symmetric=True)
    before = model.blocks[0].conv1.weight.detach().clone()
    motifs = [motif("GATA1", "AGATAAGGA"), motif("REST", "TTCAGCACC")]
    twin = motif("REST", "GGTGCTGAA", "its reverse complement")
    used = set_motif_filters(model, [*motifs, twin])
    assert used == ["REST", "GATA1"]
    after = model.blocks[0].conv1.weight.detach()
    torch.testing.assert_close(after[2:6], before[2:6])
    torch.testing.assert_close(after[6:], after[:2].flip(0, 1, 2))
    assert responses(model, "TTCAGCACC").argmax() == 0
    assert responses(model, "GGTGCTGAA").argmax() == 7
    assert responses(model, "TCCTTATCT").argmax() == 6


def test_other_factors_motifs_are_left_out(make_model):
    model = small(make_model)
    before = model.blocks[0].conv1.weight.detach().clone()
    assert set_motif_filters(model, [motif("CTCF", "CCACTAGGG")]) == []
    torch.testing.assert_close(model.blocks[0].conv1.weight.detach(), before)


def test_what_resembles_a_filter_is_left_out(make_model):
    model = small(make_model)
    before = model.blocks[0].conv1.weight.detach().clone()
    twins = [motif("REST", "GAATTC", "palindrome"), motif("REST", "AGAATTC", "shifted")]
    assert set_motif_filters(model, twins) == ["palindrome"]
    torch.testing.assert_close(model.blocks[0].conv1.weight.detach()[1:], before[1:])


def test_every_factor_has_a_turn_before_any_has_a_second(make_model):
    model = small(make_model, channels=5)  # room for three or four filters
    motifs = [motif("REST", "TTCAGCACC", "R1"), motif("REST", "CATCATAGT", "R2")]
    assert set_motif_filters(model, [*motifs, motif("GATA1", "AGATAAGGA")])[:2] == ["R1", "GATA1"]


def test_a_wide_motif_gives_its_most_informative_stretch(make_model):
    model = small(make_model)
    wide = motif("REST", "NNNNNNNTTCAGCACCNNNN")
    flat = np.where(wide.probabilities.max(1, keepdims=True) < 0.5, 0.25, wide.probabilities)
    set_motif_filters(model, [Motif("REST", "wide", flat)])
    weight = model.blocks[0].conv1.weight.detach()[0]
    assert weight.argmax(0).tolist() == encode(b"TTCAGCACC").tolist()


def test_columns_sum_to_zero_and_training_moves_them(make_model):
    model = small(make_model)
    set_motif_filters(model, [motif("REST", "TTCAGCACC")])
    weight = model.blocks[0].conv1.weight
    torch.testing.assert_close(weight[:2].sum(1), torch.zeros(2, 9), atol=1e-6, rtol=0)
    codes = torch.randint(0, 4, (4, 200), dtype=torch.uint8)
    codes[:, 90:99] = torch.from_numpy(encode(b"TTCAGCACC"))
    model.train()(codes).square().sum().backward()
    assert weight.grad[0].abs().sum() > 0


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_filters_fire_at_three_standard_deviations(make_model, norm, symmetric):
    model = small(make_model, norm=norm, channels=4, symmetric=symmetric)
    set_motif_filters(model, [motif("REST", "TTCAGCACC")])
    block = model.blocks[0].train()
    codes = torch.randint(0, 4, (4, 20_000), dtype=torch.uint8)
    fired = []
    block.relu1.register_forward_hook(lambda _, __, out: fired.append((out > 0).float()))
    model.train().dense(codes, 1)
    share = fired[0][:, [0, 3] if symmetric else [0, 1]].mean().item()
    assert 0.0001 < share < 0.01
