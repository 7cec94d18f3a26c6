"""Options of training: losses, edges, strands, hard places, averaged weights, accumulation."""

import math

import numpy as np
import pytest
import torch
from support.train import SHORT, TRAIN, VALID, new_model, score

from tcnfast.base.errors import TcnfastError
from tcnfast.data.dataset import Dataset
from tcnfast.data.tile_options import TileOptions
from tcnfast.data.training_tiles import Places, TileSampler
from tcnfast.engines.plan import Plan
from tcnfast.genome.labels import AMBIGUOUS, BOUND, UNBOUND
from tcnfast.train import hard
from tcnfast.train import training as train
from tcnfast.train.ema import WeightAverage
from tcnfast.train.fit import fit
from tcnfast.train.hard import find_hard
from tcnfast.train.losses import batch_loss, masked_asymmetric, masked_bce
from tcnfast.train.train_config import TrainConfig

RF = 137

# losses


def lesson(n=4, labels=3, steps=5):
    """Logits (n, labels, steps), targets and covers (n, steps, labels), among them every kind."""
    logits = 3 * torch.randn(n, labels, steps)
    targets = torch.randint(0, 3, (n, steps, labels), dtype=torch.uint8)
    cover = torch.rand(n, steps, labels) / 2 + 0.5
    return logits, targets, torch.where(targets == BOUND, cover, 0)


def by_hand(logits, targets, cover, weight=1.0, plus=0.0, minus=0.0, margin=0.0):
    """The papers' formulas, one label at a time, in double precision."""
    total, count = 0.0, 0
    for n, step, label in np.ndindex(*targets.shape):
        if targets[n, step, label] == AMBIGUOUS:
            continue
        y = 0.0
        if targets[n, step, label] == BOUND:
            y = 1.0 if cover is None else float(cover[n, step, label])
        p = 1 / (1 + math.exp(-float(logits[n, label, step])))
        shifted = max(p - margin, 0.0)
        total -= weight * y * (1 - p) ** plus * math.log(p)
        total -= (1 - y) * shifted**minus * math.log(1 - shifted)
        count += 1
    return total / count


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(
    "settings, formula",
    [
        (dict(), dict()),
        (dict(positive_weight=3.0), dict(weight=3.0)),
        (dict(loss="focal"), dict(plus=2, minus=2)),
        (dict(loss="focal", gamma=0.0), dict()),
        (dict(loss="focal", gamma=0.5, positive_weight=4), dict(plus=0.5, minus=0.5, weight=4)),
        (dict(loss="asymmetric"), dict(plus=0, minus=4, margin=0.05)),
        (
            dict(loss="asymmetric", gamma_positive=1, gamma_negative=0.5, margin=0.3),
            dict(plus=1, minus=0.5, margin=0.3),
        ),
        (
            dict(loss="asymmetric", gamma_negative=0, margin=0.2, positive_weight=0.5),
            dict(margin=0.2, weight=0.5),
        ),
    ],
    ids=["bce", "weight", "focal", "focal-0", "focal-half", "asymmetric", "all-three", "margin"],
)
def test_losses_are_the_papers_formulas(settings, formula, soft):
    logits, targets, cover = lesson()
    cover = cover if soft else None
    loss = batch_loss(logits, targets, cover, TrainConfig(**settings))
    assert loss.item() == pytest.approx(by_hand(logits, targets, cover, **formula), rel=2e-5)


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric"])
def test_gradients_of_losses(name):
    logits, targets, cover = lesson(2, 2, 3)
    logits = logits.double().requires_grad_()
    config = TrainConfig(loss=name, positive_weight=1.5)
    assert torch.autograd.gradcheck(lambda z: batch_loss(z, targets, cover, config), logits)


@pytest.mark.parametrize("options", [dict(), dict(gamma_negative=0.5, margin=0.1)])
def test_losses_of_sure_logits_are_finite(options):
    logits = torch.tensor([-200.0, -90.0, 0.0, 90.0, 200.0]).repeat(1, 2, 1).requires_grad_()
    targets = torch.tensor([BOUND, UNBOUND], dtype=torch.uint8).repeat(1, 5, 1)
    loss = masked_asymmetric(logits, targets, **options)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()
    margin = options.get("margin", 0.05)
    assert (logits.grad[0, 0, :2] < 0).all() and (logits.grad[0, 1, :2] == 0).all(), margin


def test_ambiguous_labels_have_no_gradient_in_any_loss():
    for name in ("bce", "focal", "asymmetric"):
        logits, targets, cover = lesson()
        logits.requires_grad_()
        batch_loss(logits, targets, cover, TrainConfig(loss=name)).backward()
        assert (logits.grad[(targets == AMBIGUOUS).transpose(1, 2)] == 0).all()


# strands


def test_the_two_strands_of_a_tile_are_scored_at_the_same_bases(dataset):
    sampler = sampler_of(dataset, strands="both")
    codes, targets, _ = sampler.batch(2)
    plus, minus = codes[:8], codes[8:]
    np.testing.assert_array_equal(minus, 3 - plus[:, ::-1])
    np.testing.assert_array_equal(targets[8:], targets[:8, ::-1])
    model = new_model().eval()
    with torch.no_grad():
        both = model.dense(torch.from_numpy(codes), 32)
    mirrored = Plan(model, device="cpu", precision="fp32", stride=32, strand="-")(plus)
    want = mirrored.transpose(1, 2)
    torch.testing.assert_close(both[8:].flip(-1), want, rtol=1e-4, atol=1e-5)


def test_strand_losses_by_hand():
    logits, targets, _ = lesson(6)
    targets[3:] = targets[:3].flip(1)
    plus, minus = logits[:3], logits[3:].flip(-1)
    apart = ((plus - minus) ** 2).mean()
    for strands, alone in (
        ("both", masked_bce(logits, targets)),
        ("mean", masked_bce((plus + minus) / 2, targets[:3])),
    ):
        config = TrainConfig(strands=strands, strand_loss=0.7)
        torch.testing.assert_close(batch_loss(logits, targets, None, config), alone + 0.7 * apart)
    config = TrainConfig(strands="both")
    assert batch_loss(logits, targets, None, config) == masked_bce(logits, targets)


def test_strand_loss_brings_the_strands_together(dataset):
    def trained(**options):
        """Mean squared difference of the strands, and the worse AP."""
        model = new_model(1)
        steps = dict(steps=120, epoch_steps=120, batch_size=16, tile_steps=8, learning_rate=1e-2)
        config = TrainConfig(precision="fp32", mutate=0.0, strands="both", **steps, **options)
        epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
        codes = dataset.genome.codes("chr1", 140_000, 180_000)
        plus, minus = (
            Plan(model, device="cpu", precision="fp32", strand=strand)(codes) for strand in "+-"
        )
        return (plus - minus).square().mean(), epochs[-1].scores.ap.min()

    (apart, ap), (together, ap_together) = trained(), trained(strand_loss=0.1)
    assert together < 0.6 * apart and min(ap, ap_together) > 0.9


# edges and accumulation


def sampler_of(dataset, tiles=16, **options):
    return TileSampler(dataset, TRAIN, RF, TileOptions(batch_size=tiles, tile_steps=4, **options))


def test_accumulated_batches_are_one_step_on_their_mean(dataset):
    sampler = sampler_of(dataset)
    batches = [sampler.batch(index)[:2] for index in range(3)]
    gradients = []
    for _, targets in batches:  # of which the batches hold different numbers
        np.copyto(targets, UNBOUND, where=targets == AMBIGUOUS)
    joined = [np.concatenate(column) for column in zip(*batches, strict=True)]
    for given in (batches, [joined]):
        tensors = [[*map(torch.from_numpy, batch), None] for batch in given]
        model = new_model(norm="weight")
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        probe = Plan(model, device="cpu", precision="fp32")
        loss = train.take_step(model, optimiser, tensors, TrainConfig(clip=1e9), probe)
        gradients.append([loss, *(p.grad for p in model.parameters())])
    for apart, joined in zip(*gradients, strict=True):
        torch.testing.assert_close(apart, joined, rtol=1e-3, atol=1e-6)


def test_a_step_draws_its_own_batches(dataset):
    """A training is its steps, one by one, each on the batches that follow those before."""
    config = TrainConfig(**SHORT | dict(steps=4, epoch_steps=4, accumulate=3))
    whole = new_model()
    fit(whole, dataset, TRAIN, VALID, config, "cpu", progress=False)
    by_hand = new_model()
    sampler = TileSampler(dataset, TRAIN, by_hand.receptive_field, config, 12)
    by_hand.set_label_rates(train.label_rates(sampler))
    optimiser = train.make_optimiser(by_hand, config, torch.device("cpu"))
    probe = Plan(by_hand, device="cpu", precision="fp32")
    for step in range(4):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * train.learning_rate_at(step, config)
        batches = [sampler.batch(3 * step + i) for i in range(3)]
        tensors = [[x if x is None else torch.from_numpy(x) for x in batch] for batch in batches]
        train.take_step(by_hand, optimiser, tensors, config, probe)
    for name, weight in by_hand.state_dict().items():
        torch.testing.assert_close(whole.state_dict()[name], weight, rtol=0, atol=0)


# averaged weights


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_the_average_is_the_decayed_sum(norm):
    model = new_model(norm=norm)
    average = WeightAverage(model, 0.8)
    want = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(40):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.add_(1) if not tensor.is_floating_point() else tensor.normal_()
        average.update(model)
        decay = min(0.8, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                want[name] = decay * want[name] + (1 - decay) * tensor
            else:
                want[name] = tensor.clone()
    torch.testing.assert_close(average.model.state_dict(), want)
    counted = {"blocks.0.norm1.running_var", "blocks.0.norm1.num_batches_tracked"} <= want.keys()
    assert counted == (norm == "batch")
    assert not any(p.requires_grad for p in average.model.parameters())


def test_the_averaged_model_is_validated_and_kept(dataset):
    model, seen, raw = new_model(), [], []

    def judge(judged, epoch, is_best):
        state = {name: tensor.clone() for name, tensor in judged.state_dict().items()}
        raw.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        seen.append((score(judged, dataset).macro("ap"), state))

    config = TrainConfig(**SHORT | dict(ema=0.9, learning_rate=0.02))
    epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", judge, progress=False)
    aps = [epoch.scores.macro("ap") for epoch in epochs]
    assert [ap for ap, _ in seen] == pytest.approx(aps) and len(seen) == 2
    best = seen[int(np.argmax(aps))][1]
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())
    for (_, averaged), last in zip(seen, raw, strict=True):
        assert not torch.equal(averaged["head.weight"], last["head.weight"])
    assert all(p.requires_grad for p in model.parameters())


# hard places


def test_hard_places_are_false_positives(dataset):
    """A model that has learned both motifs, and peaks of which half are gone from the table: their
    sites are now false positives, and the worst of all."""
    model = new_model()
    shape = dict(batch_size=32, tile_steps=8, learning_rate=1e-2, precision="fp32")
    config = TrainConfig(steps=160, epoch_steps=160, **shape)
    fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    kept = np.arange(len(dataset.bound.start)) % 4 > 1
    gone = (dataset.bound.start + dataset.bound.end)[~kept] // 2
    fewer = Dataset(dataset.genome, dataset.bound.take(kept), dataset.labels, None, None, 100, 50)
    plan = Plan(model, device="cpu", precision="fp32")
    places = find_hard(plan, fewer, TRAIN, 8, [0, 1])
    assert len(places.middle) == pytest.approx(0.1 * TRAIN[0].end / 256, rel=0.05)
    apart = np.abs(places.middle[:, None] - gone).min(1)
    assert (apart < 100).mean() > 0.9
    share = np.diff(places.weight, prepend=0)
    assert (np.diff(share) <= 1e-12).all() and places.weight[-1] == pytest.approx(1)
    again = find_hard(plan, fewer, TRAIN, 8, [0, 1])
    assert all(np.array_equal(a, b) for a, b in zip(places, again, strict=True))


def test_only_drawn_stretches_are_looked_through(dataset, monkeypatch):
    monkeypatch.setattr(hard, "STRETCH", 10_000)
    plan = Plan(new_model().eval(), device="cpu", precision="fp32")
    parts = [
        {int(m) // 10_000 for m in find_hard(plan, dataset, TRAIN, 4, [s], 30_000).middle}
        for s in (0, 1)
    ]
    assert all(1 <= len(part) <= 3 for part in parts) and parts[0] != parts[1]


def test_regions_without_a_tile_have_no_hard_places(dataset):
    plan = Plan(new_model().eval(), device="cpu", precision="fp32")
    region = TRAIN[0]._replace(end=400)
    assert len(find_hard(plan, dataset, [region], 64, [0]).middle) == 0


def test_a_share_of_tiles_lies_over_hard_places(dataset):
    sampler = sampler_of(dataset, tiles=400, enriched=0.2, hard=0.5)
    before = sampler.batch(0).codes
    middle = np.array([40_000, 80_000])
    sampler.set_hard(Places.of(np.zeros(2), middle, np.array([3.0, 1.0])))
    codes = sampler.batch(0).codes
    genome = dataset.genome.codes("chr1").tobytes()
    counts = [0, 0]
    for tile in codes:
        start = max(genome.find(tile.tobytes()), genome.find((3 - tile[::-1]).tobytes()))
        hits = (start + RF // 2 <= middle) & (middle < start + RF // 2 + 4 * 32)
        counts += hits
    assert sum(counts) == pytest.approx(200, abs=30)
    assert counts[0] / sum(counts) == pytest.approx(0.75, abs=0.1)
    sampler.set_hard(None)
    np.testing.assert_array_equal(sampler.batch(0).codes, before)


def test_hard_places_come_from_the_epoch_before(dataset):
    """The first epoch has none yet; what they are worth shows from the second on."""
    losses = {}
    for share in (0.0, 0.3):
        config = TrainConfig(**SHORT | dict(hard=share, enriched=0.5))
        epochs = fit(new_model(), dataset, TRAIN, VALID, config, "cpu", progress=False)
        losses[share] = [epoch.loss for epoch in epochs]
    assert losses[0.0][0] == losses[0.3][0] and losses[0.0][1] != losses[0.3][1]


# all of them train


@pytest.mark.parametrize(
    "options",
    [
        dict(loss="focal", positive_weight=2.0, edge="soft"),
        dict(loss="asymmetric"),
        dict(edge="mask", ema=0.9, hard=0.2, strands="mean"),
    ],
    ids=["focal-soft", "asymmetric", "mask-ema-hard-mean"],
)
def test_options_learn_the_planted_motifs(dataset, options):
    model = new_model()
    shape = dict(batch_size=32, tile_steps=8, learning_rate=1e-2, precision="fp32")
    config = TrainConfig(steps=120, epoch_steps=60, **shape, **options)
    epochs = fit(model, dataset, TRAIN, VALID, config, "cpu", progress=False)
    assert (epochs[-1].scores.ap > 0.6).all()


# settings


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(loss="hinge"), "loss 'hinge': must be one of bce, focal, asymmetric"),
        (dict(edge="round"), "edge 'round': must be one of hard, soft, mask"),
        (dict(strands="two"), "strands 'two': must be one of one, both, mean"),
        (dict(gamma=2.0), "gamma 2.0: belongs to loss focal, not bce"),
        (dict(loss="focal", margin=0.0), "margin 0.0: belongs to loss asymmetric, not focal"),
        (dict(loss="focal", gamma=-1.0), "gamma -1.0: must be at least 0"),
        (dict(loss="asymmetric", margin=1.0), "margin 1.0"),
        (dict(positive_weight=0.0), "positive_weight 0.0: must be above 0"),
        (dict(positive_weight=float("nan")), "positive_weight nan"),
        (dict(ema=1.0), "ema 1.0"),
        (dict(hard=0.5), "enriched 0.7 and hard 0.5: shares of the tiles over 1"),
        (dict(hard=-0.1), "hard -0.1: must be within 0 and 1"),
        (dict(strand_loss=1.0), "strand_loss 1.0: needs strands both or mean"),
        (dict(strands="both", batch_size=5), "batch_size 5: must be even"),
        (dict(accumulate=0), "accumulate 0: must be at least 1"),
        (dict(patience=-1), "patience -1: must be at least 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_out_of_range_raise(change, words):
    with pytest.raises(TcnfastError, match=words):
        TrainConfig(**change)


def test_every_setting_is_an_option_of_the_command():
    from dataclasses import asdict

    import tcnfast

    settings = tcnfast.train.verb.settings
    assert asdict(TrainConfig()).keys() - settings.keys() == {"warmup", "clip"}
    with pytest.raises(TypeError, match="tiles"):
        tcnfast.train("data/", "model/", tiles=4)
