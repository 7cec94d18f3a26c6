"""``tcnfast average``: several models as one."""

from __future__ import annotations

import argparse

from .flags import command, flags, require, require_data


def add(commands) -> None:
    parents = [flags("output", "device", "stride", "data")]
    words = "several models as one; with data, calibrated again"
    parser = command(commands, "average", run, parents, help=words, description=words)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model folders or bundled names")
    words = (
        "mean of the models' logits, an ensemble; or one network of their mean weights, which "
        "must come from one training run (default logits)"
    )
    parser.add_argument("--how", choices=("logits", "weights"), default="logits", help=words)


def run(args: argparse.Namespace) -> None:
    require(args, "output")
    given = any((args.data, args.genome, args.peaks, args.split, args.ambiguous, args.blacklist))
    data = require_data(args) if given else {}
    from ..train.average import average_models

    average_models(
        args.models,
        args.output,
        args.how,
        stride=args.stride,
        device=args.device,
        precision=args.precision,
        force=args.force,
        **data,
    )
