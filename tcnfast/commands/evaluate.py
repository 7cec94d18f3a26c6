"""``tcnfast evaluate``: how good a model is."""

from __future__ import annotations

import argparse

from .flags import command, flags, require


def add(commands) -> None:
    parents = [flags("device", "plan", "stride", "data")]
    parser = command(
        commands, "evaluate", run, parents, help="AP and AUROC of a model, TSV on stdout"
    )
    parser.add_argument("-m", "--model", help="model folder or bundled name")
    parser.add_argument(
        "--part", choices=("train", "valid", "test"), default="valid", help="default valid"
    )


def run(args: argparse.Namespace) -> None:
    require(args, "genome", "peaks", "split", "model")
    from ..evaluate_run import evaluate_model

    evaluate_model(
        args.model,
        args.genome,
        args.peaks,
        args.split,
        args.part,
        ambiguous=args.ambiguous,
        blacklist=args.blacklist,
        rc=args.rc,
        stride=args.stride,
        device=args.device,
        precision=args.precision,
        backend=args.backend,
    )
