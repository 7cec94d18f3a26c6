"""Sequences with planted motifs, and a small model trained on them in seconds: what attribution and
motif discovery have to find.

Three labels: SINGLE is bound where its motif stands; PAIR where FIRST and SECOND stand with GAP
bases between them, not where one stands alone or both with another gap; REPRESSED where ACTIVATOR
stands without REPRESSOR. Where in its window a motif stands says nothing: each has its slot, and
stands in it alone as with the other. (Were SECOND in another place when alone, a network would
learn that place in FIRST's stead.)

The fixture ``planted`` is the set; ``planted.attributions(label)`` are the bound windows of a label
as :class:`tcnfast.attribute.attributions.Attributions`, or windows in which other motifs stand, and
``planted.truth(label)`` says which of the bound ones' bases were planted.
"""

from dataclasses import dataclass

import numpy as np
import torch

from tcnfast.attribute.attributions import Attributions
from tcnfast.attribute.integrated_gradients import integrated_gradients
from tcnfast.attribute.networks import Networks
from tcnfast.genome.codes import encode, reverse_complement
from tcnfast.model.load_model import load_model
from tcnfast.model.tcn import TCN, TCNConfig

MOTIFS = {
    "SINGLE": "TGACGTCATAGG",
    "FIRST": "CCAATTAGCA",
    "SECOND": "GGATCTTCCG",
    "ACTIVATOR": "ACCACCTGTTGC",
    "REPRESSOR": "TTCAGCACCGTA",
}
SLOTS = [("SINGLE",), ("FIRST", "SECOND"), ("ACTIVATOR", "REPRESSOR")]
GAP = 8  # bases between two slots
SHIFTS = [-6, -5, -4, -3, 3, 4, 5, 6]  # of SECOND from its slot
LABELS = ["SINGLE", "PAIR", "REPRESSED"]
# what stands in a window, and the labels that are bound there; "moved": its last motif is shifted
KINDS = {
    (): [],
    ("SINGLE",): ["SINGLE"],
    ("FIRST",): [],
    ("SECOND",): [],
    ("FIRST", "SECOND"): ["PAIR"],
    ("FIRST", "SECOND", "moved"): [],
    ("ACTIVATOR",): ["REPRESSED"],
    ("REPRESSOR",): [],
    ("ACTIVATOR", "REPRESSOR"): [],
}
SHAPE = dict(labels=LABELS, channels=24, blocks=5, first_kernel=15)
REACH = 34  # bases on each side of the centre that motifs stand in
WINDOWS, STEPS, BATCH = 8_000, 700, 64
MUTATED = 0.2  # share of a batch's bases that are drawn anew at first, falling to none at the end


@dataclass
class Planted:
    """``codes`` uint8 (n, RF), ``kind`` int (n,) of KINDS, ``site`` bool (n, RF): planted bases."""

    model: TCN
    codes: np.ndarray
    kind: np.ndarray
    site: np.ndarray

    def of(self, *motifs):
        """Rows in which these stand and no others."""
        return np.flatnonzero(self.kind == list(KINDS).index(motifs))

    def standing(self, rows):
        """What stands in each of ``rows``."""
        return [list(KINDS)[kind] for kind in self.kind[rows]]

    def bound(self, label, count=100):
        """The first ``count`` rows in which a label is bound."""
        kinds = [i for i, labels in enumerate(KINDS.values()) if label in labels]
        return np.flatnonzero(np.isin(self.kind, kinds))[:count]

    def truth(self, label, count=100):
        return self.site[self.bound(label, count)]

    def attributions(self, label, count=100, steps=20, rows=None):
        """Integrated gradients of a label's bound windows, or of ``rows``; windows lie one after
        another."""
        rows = self.bound(label, count) if rows is None else rows
        networks = Networks(self.model, device="cpu")
        codes, at = self.codes[rows], self.model.labels.index(label)
        explained = integrated_gradients(networks, codes, [at], baseline="gc", steps=steps)[0]
        chrom, start = np.full(len(rows), "planted"), rows * codes.shape[1]
        return Attributions(
            label, "ig", chrom, start, codes, explained.hypothetical, explained.logit
        )


def plant(count, width, rng):
    """codes (count, width), kind (count,), planted bases (count, width)."""
    codes = rng.integers(0, 4, (count, width), np.uint8)
    kind, site = rng.integers(0, len(KINDS), count), np.zeros((count, width), bool)
    for row, motifs in enumerate(list(KINDS)[k] for k in kind):
        slots = next((slots for slots in SLOTS if set(slots) & set(motifs)), ())
        room = 2 * REACH - sum(len(MOTIFS[motif]) + GAP for motif in slots)
        at = width // 2 - REACH + rng.integers(room)
        for motif in slots:
            letters = encode(MOTIFS[motif])
            shift = rng.choice(SHIFTS) if "moved" in motifs and motif == slots[-1] else 0
            if motif in motifs:
                codes[row, at + shift : at + shift + len(letters)] = letters
                site[row, at + shift : at + shift + len(letters)] = True
            at += len(letters) + GAP
    flipped = rng.random(count) < 0.5
    codes[flipped] = reverse_complement(codes[flipped])
    site[flipped] = site[flipped, ::-1]
    return codes, kind, site


def trained_model(codes, kind):
    torch.manual_seed(0)
    model = TCN(TCNConfig(**SHAPE)).train()
    targets = np.array([[label in labels for label in LABELS] for labels in KINDS.values()])[kind]
    x, y = torch.from_numpy(codes), torch.from_numpy(targets).float()
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, STEPS)
    for step in range(STEPS):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        drawn = torch.randint(0, 4, x[rows].shape, dtype=torch.uint8)
        mutated = torch.rand(drawn.shape) < MUTATED * (1 - step / STEPS)
        seen = torch.where(mutated, drawn, x[rows])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(seen), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def train_planted(folder):
    """Fill ``folder`` with what ``open_planted`` reads."""
    width = TCNConfig(**SHAPE).receptive_field
    codes, kind, site = plant(WINDOWS + 2_000, width, np.random.default_rng(5))
    trained_model(codes[:WINDOWS], kind[:WINDOWS]).save(folder / "model")
    unseen = dict(codes=codes[WINDOWS:], kind=kind[WINDOWS:], site=site[WINDOWS:])
    np.savez(folder / "unseen.npz", **unseen)


def open_planted(folder):
    with np.load(folder / "unseen.npz") as unseen:
        return Planted(load_model(folder / "model"), **unseen)
