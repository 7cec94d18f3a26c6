"""``tcnfast info``: what is here."""

from __future__ import annotations

import argparse

from .flags import command, flags


def add(commands) -> None:
    parser = command(commands, "info", run, [flags()], help="what is here: devices, models")
    parser.add_argument("-m", "--model", help="show this model's labels and thresholds")


def run(args: argparse.Namespace) -> None:
    from ..bench import info

    info.show_model(args.model) if args.model else info.show_system()
