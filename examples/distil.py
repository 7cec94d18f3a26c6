"""Trains the teachers of a recipe, then its students, and averages the students. Each network is
trained once; the same command goes on where it stopped.

    python examples/distil.py recipe.json -o runs -g hg19.fa --peaks peaks.bed --split split.json

A recipe is JSON: "train", settings of every network; "teachers" and "students", by name, settings
of one network as tcnfast train has them, without dashes. A student learns from all teachers of the
recipe and, before them, from those its own "teacher" lists: folders or bundled models. The test
part is scored of the result alone. "hours" is what a training took where it was measured. Further
options are data, for tcnfast train and tcnfast average alike.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from tcnfast import cli

log = logging.getLogger("tcnfast")

UNSCORED = {"no-test": True}


def words(settings: dict) -> list[str]:
    """Settings as words of a command line."""
    line = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        line += [f"--{name}", *([] if value is True else map(str, values))]
    return line


def run(*line: object) -> None:
    """One command of tcnfast; a failure ends the chain with its exit code."""
    code = cli.main([str(word) for word in line])
    if code:
        sys.exit(code)


def say_hours(networks: dict[str, dict], out: Path) -> None:
    """What is left to train, and how long that took where it was measured."""
    left = {name: one for name, one in networks.items() if not (out / name / "run.json").exists()}
    hours = sum(one["hours"] for one in left.values())
    names = ", ".join(left) or "none"
    print(f"{len(left)} of {len(networks)} networks to train, about {hours:.1f} hours: {names}")


def train(out: Path, name: str, settings: dict, data: list[str], teachers: list[Path]) -> Path:
    """The folder of a trained network; one that is there already stays."""
    settings = {key: value for key, value in settings.items() if key != "hours"}
    if teachers:
        settings["teacher"] = [*settings.get("teacher", []), *map(str, teachers)]
    run("train", *words(settings), *data, "-o", out / name, "--resume")
    return out / name


def main(argv: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0], epilog="further options: data of tcnfast train"
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of all networks")
    parser.add_argument(
        "--motifs", help="motifs that first filters start at (default: the recipe's)"
    )
    args, data = parser.parse_known_args(argv)
    recipe = json.loads(args.recipe.read_text())
    if args.motifs:
        recipe["train"]["motifs"] = args.motifs
    common, teachers, students = recipe["train"], recipe["teachers"], recipe["students"]
    say_hours(teachers | students, args.output)
    taught = [
        train(args.output, name, common | UNSCORED | one, data, [])
        for name, one in teachers.items()
    ]
    common |= UNSCORED if len(students) > 1 else {}
    made = [train(args.output, name, common | one, data, taught) for name, one in students.items()]
    if len(made) == 1:
        return made[0]
    mean = args.output / "mean"
    run("average", *made, *data, "-o", mean, "--force")
    return mean


if __name__ == "__main__":
    print(f"trained: {main()}")
