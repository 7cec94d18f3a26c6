"""``tcnfast bench``: how fast this machine scans."""

from __future__ import annotations

import argparse

from .flags import command, flags


def add(commands) -> None:
    parents = [flags("stride")]
    parser = command(
        commands, "bench", run, parents, help="how fast this machine scans, against PyTorch"
    )
    parser.add_argument("-m", "--model", default="encode-v1", help=(
        "model folder or bundled name (default encode-v1)"))  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:i] (default auto)")


def run(args: argparse.Namespace) -> None:
    from ..bench.speed_table import show

    show(args.model, args.device, args.stride)
