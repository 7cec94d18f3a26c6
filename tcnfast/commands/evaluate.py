"""``tcnfast evaluate``: how good a model is."""

from __future__ import annotations

import argparse

from .flags import command, flags, require, require_data


def add(commands) -> None:
    parents = [flags("output", "device", "plan", "stride", "data")]
    parser = command(
        commands, "evaluate", run, parents, help="scores of a model: TSV on stdout, plots with -o"
    )
    add = parser.add_argument
    add("-m", "--model", help="model folder or bundled name")
    add("--part", choices=("train", "valid", "test"), default="valid", help="default valid")
    words = "cutoff that precision and recall are told at, as of a scan (default f1)"
    add("--cutoff", default="f1", metavar="RULE", help=words)
    words = "another model: differences on the same windows, with intervals and p values"
    add("--against", metavar="MODEL", help=words)
    words = "MEME file: AP of the best single motif, and of CpG content, beside each label"
    add("--motifs", metavar="MEME", help=words)
    words = "resamples of 1-Mb blocks that intervals are made of; 0: none (default 1000)"
    add("--resamples", type=int, default=1000, metavar="N", help=words)
    add("--seed", type=int, default=0, metavar="N", help="of the resamples (default 0)")


def run(args: argparse.Namespace) -> None:
    data = require_data(args)
    require(args, "model")
    from ..evaluate.evaluate_run import EvaluateOptions, evaluate_model

    names = ("part", "against", "motifs", "cutoff", "resamples", "seed", "rc", "stride")
    evaluate_model(
        args.model,
        data,
        EvaluateOptions(**{name: getattr(args, name) for name in names}),
        args.output,
        device=args.device,
        precision=args.precision,
        backend=args.backend,
        force=args.force,
    )
