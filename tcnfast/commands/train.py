"""``tcnfast train``: a model from peak files."""

from __future__ import annotations

import argparse

from .flags import command, flags, positive, require


def add(commands) -> None:
    parents = [flags("output", "device", "stride", "data")]
    parser = command(commands, "train", run, parents, help="train a model on peak files")
    add = parser.add_argument
    for name, default in (("channels", 64), ("kernel-size", 3), ("blocks", 8)):
        add(f"--{name}", type=positive, default=default, metavar="N", help=f"default {default}")
    add("--first-kernel", type=positive, default=15, metavar="N", help="default 15")
    add("--norm", default="batch", help="batch or weight (default batch)")
    add("--alignment", default="centred", help="centred or causal (default centred)")
    add("--dropout", type=float, default=0.1, metavar="P", help="default 0.1")
    words = "MEME file: first filters start at the motifs named for the labels' factors"
    add("--motifs", metavar="MEME", help=words)
    add("--min-peaks", type=positive, default=200, metavar="N", help=(
        "drop labels with fewer training peaks (default 200)"))  # fmt: skip
    add("--steps", type=positive, default=30_000, metavar="N", help="default 30000")
    add("--epoch-steps", type=positive, default=2_500, metavar="N", help="default 2500")
    add("--batch-size", type=positive, default=64, metavar="N", help="tiles a step (default 64)")
    add("--tile-steps", type=positive, default=16, metavar="N", help="scores a tile (default 16)")
    add("--enriched", type=float, default=0.7, metavar="SHARE", help=(
        "share of tiles laid over a bound peak (default 0.7)"))  # fmt: skip
    add("--label-power", type=float, default=0.5, metavar="P", help=(
        "1 draws peaks evenly, 0 labels evenly (default 0.5)"))  # fmt: skip
    add("--learning-rate", type=float, default=3e-3, metavar="R", help="default 0.003")
    add("--weight-decay", type=float, default=0.05, metavar="R", help="default 0.05")
    add("--seed", type=int, default=0, metavar="N", help="default 0")


def run(args: argparse.Namespace) -> None:
    require(args, "genome", "peaks", "split", "output")
    from ..train_run import train_model

    shape = ("channels", "kernel_size", "blocks", "first_kernel", "norm", "alignment", "dropout")
    config = ("steps", "epoch_steps", "tile_steps", "enriched", "label_power", "stride",
              "learning_rate", "weight_decay", "seed", "precision")  # fmt: skip
    train_model(
        args.genome,
        args.peaks,
        args.split,
        args.output,
        ambiguous=args.ambiguous,
        blacklist=args.blacklist,
        motifs=args.motifs,
        min_peaks=args.min_peaks,
        shape={name: getattr(args, name) for name in shape},
        config={"tiles": args.batch_size, **{name: getattr(args, name) for name in config}},
        device=args.device,
        force=args.force,
        progress=not (args.quiet or args.no_progress),
    )
