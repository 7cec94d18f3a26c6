"""``tcnfast train``: a model from peak files."""

from __future__ import annotations

import argparse

from .flags import command, flags, positive, require, require_data

# flags that are fields of TCNConfig and of TrainConfig
_SHAPE = ("channels", "kernel_size", "blocks", "first_kernel", "norm", "alignment", "dropout")
_CONFIG = (
    "steps", "epoch_steps", "tile_steps", "enriched", "label_power", "stride", "learning_rate",
    "weight_decay", "seed", "precision", "loss", "gamma", "gamma_positive", "gamma_negative",
    "margin", "positive_weight", "edge", "strands", "strand_loss", "hard", "mutate", "ema",
    "accumulate", "patience",
)  # fmt: skip


def add(commands) -> None:
    parents = [flags("output", "device", "stride", "data")]
    parser = command(commands, "train", run, parents, help="train a model on peak files")
    words = "go on with an unfinished training: same model as without a stop"
    parser.add_argument("--resume", action="store_true", help=words)
    _shape_flags(parser.add_argument_group("network").add_argument)
    _schedule_flags(parser.add_argument_group("schedule").add_argument)
    _tile_flags(parser.add_argument_group("tiles").add_argument)
    _loss_flags(parser.add_argument_group("loss").add_argument)


def _shape_flags(add) -> None:
    for name, default in (("channels", 64), ("kernel-size", 3), ("blocks", 8)):
        add(f"--{name}", type=positive, default=default, metavar="N", help=f"default {default}")
    add("--first-kernel", type=positive, default=15, metavar="N", help="default 15")
    add("--norm", default="batch", help="batch or weight (default batch)")
    add("--alignment", default="centred", help="centred or causal (default centred)")
    add("--dropout", type=float, default=0.0, metavar="P", help="default 0")
    words = "MEME file: first filters start at the motifs named for the labels' factors"
    add("--motifs", metavar="MEME", help=words)


def _schedule_flags(add) -> None:
    add("--steps", type=positive, default=30_000, metavar="N", help="default 30000")
    add("--epoch-steps", type=positive, default=2_500, metavar="N", help="default 2500")
    words = "stop when so many epochs brought no better one (default: never)"
    add("--patience", type=positive, default=0, metavar="EPOCHS", help=words)
    add("--learning-rate", type=float, default=3e-3, metavar="R", help="default 0.003")
    add("--weight-decay", type=float, default=0.05, metavar="R", help="default 0.05")
    words = "validate and keep a moving average of weights, as 0.999 (default 0: none)"
    add("--ema", type=float, default=0.0, metavar="DECAY", help=words)
    words = "batches for one step; batch norm has statistics of each alone (default 1)"
    add("--accumulate", type=positive, default=1, metavar="N", help=words)
    add("--seed", type=int, default=0, metavar="N", help="default 0")
    add("--tensorboard", metavar="DIR", help="write TensorBoard events there")


def _tile_flags(add) -> None:
    words = "drop labels with fewer training peaks (default 200)"
    add("--min-peaks", type=positive, default=200, metavar="N", help=words)
    add("--batch-size", type=positive, default=64, metavar="N", help="tiles a batch (default 64)")
    add("--tile-steps", type=positive, default=16, metavar="N", help="scores a tile (default 16)")
    words = "share of tiles laid over a bound peak (default 0.7)"
    add("--enriched", type=float, default=0.7, metavar="SHARE", help=words)
    words = "1 draws peaks evenly, 0 labels evenly (default 0.5)"
    add("--label-power", type=float, default=0.5, metavar="P", help=words)
    words = "share of tiles laid over the worst false positives of the last epoch (default 0)"
    add("--hard", type=float, default=0.0, metavar="SHARE", help=words)
    words = "share of a tile's bases drawn anew at random at first; falls to none (default 0.05)"
    add("--mutate", type=float, default=0.05, metavar="SHARE", help=words)
    words = (
        "bound bins that no peak covers whole: hard, bound; soft, target is the share covered; "
        "mask, left out if under 3/4 (default hard)"
    )
    add("--edge", default="hard", metavar="HOW", help=words)
    words = (
        "one, a random strand of each tile; both strands of half as many tiles, each with its "
        "loss; or the loss of their mean logit (default one)"
    )
    add("--strands", default="one", metavar="one|both|mean", help=words)


def _loss_flags(add) -> None:
    add("--loss", default="bce", help="bce, focal or asymmetric (default bce)")
    add("--gamma", type=float, metavar="G", help="exponent of focal loss (default 2)")
    words = "exponent of asymmetric loss for bound labels (default 0)"
    add("--gamma-positive", type=float, metavar="G", help=words)
    words = "and for unbound ones (default 4)"
    add("--gamma-negative", type=float, metavar="G", help=words)
    words = "probability below which asymmetric loss forgets unbound labels (default 0.05)"
    add("--margin", type=float, metavar="P", help=words)
    add("--positive-weight", type=float, default=1.0, metavar="W", help=(
        "weight of bound labels in the loss (default 1)"))  # fmt: skip
    words = "weight of the squared difference of two strands' logits; with --strands (default 0)"
    add("--strand-loss", type=float, default=0.0, metavar="W", help=words)


def run(args: argparse.Namespace) -> None:
    data = require_data(args)
    require(args, "output")
    from ..train.train_run import train_model

    train_model(
        args.output,
        **data,
        motifs=args.motifs,
        min_peaks=args.min_peaks,
        shape={name: getattr(args, name) for name in _SHAPE},
        config={"tiles": args.batch_size, **{name: getattr(args, name) for name in _CONFIG}},
        device=args.device,
        force=args.force,
        resume=args.resume,
        tensorboard=args.tensorboard,
        progress=not (args.quiet or args.no_progress),
    )
