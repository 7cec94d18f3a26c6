"""Options declared once: values made and checked alike for the command line and for Python."""

import inspect
import json
from dataclasses import dataclass

import pytest

import tcnfast.cli as cli
from tcnfast.base.errors import TcnfastError
from tcnfast.base.options import (
    Options,
    Run,
    names,
    option,
    seed_option,
    setting,
    speaking_of_flags,
)
from tcnfast.base.verb import OUT, VERBS, Input, verb


@dataclass(frozen=True)
class TrialOptions(Options):
    stride: int = option(32, "spacing", unit="BP", least=1)
    share: float = option(0.5, "share of all", least=0, below=1, group="drawing")
    targets: tuple | None = option(None, "labels", kind=names, short="-t")
    files: tuple = option((), "files", kind=str, many=True)
    how: str = option("mean", "which", choices=("mean", "max"))
    wild: bool = option(False, "no 100 % check")
    weight: float = option(1.0, "weight")
    seed: int = seed_option("all draws")

    def check(self):
        if self.wild and self.how == "max":
            raise TcnfastError(f"{setting('wild')} does not go with {setting('how', 'max')}")


@pytest.fixture(name="trial")
def fixture_trial(monkeypatch):
    """A verb that returns what it was given, and its command."""
    kept = dict(VERBS)
    VERBS.clear()

    @verb(
        "try it",
        Input("genome", "FASTA", many=True),
        OUT,
        options=TrialOptions,
        run=("device", "force"),
        show=lambda result: print(json.dumps([result[0], str(result[1])])),
    )
    def trial(genome, out="trial/", *, options: TrialOptions, run: Run):
        """Try it."""
        return genome, out, options, run

    monkeypatch.setattr(cli, "ROOMS", {"trial": "base"})
    yield trial
    VERBS.clear()
    VERBS.update(kept)


@pytest.fixture(name="command")
def fixture_command(trial, monkeypatch):
    """command(*words): options and run that the command line makes."""

    def command(*words):
        seen = []
        shown = VERBS["trial"].show
        object.__setattr__(VERBS["trial"], "show", lambda result: seen.append(result))
        try:
            assert cli.main(["trial", *map(str, words)]) == 0
        finally:
            object.__setattr__(VERBS["trial"], "show", shown)
        return seen[0]

    return command


def test_python_and_the_command_line_make_the_same_options(trial, command):
    words = "a.fa b.fa -o x --stride 64 --share 0 -t A,B --files p q --how max --force --device cpu"
    genome, out, options, run = command(*words.split())
    assert (genome, out) == (("a.fa", "b.fa"), "x") and run.progress
    some = dict(stride=64, share=0, targets=["A", "B"], files=("p", "q"), how="max")
    again = trial(["a.fa", "b.fa"], "x", force=True, device="cpu", **some)[2:]
    assert again == (options, Run(device="cpu", force=True))
    assert options == TrialOptions(64, 0.0, ("A", "B"), ("p", "q"), "max")
    assert trial("a.fa", targets="A,B")[2].targets == ("A", "B")
    assert trial("a.fa", options=options, run=run)[2:] == (options, run)


def test_defaults_are_those_of_the_fields(trial, command):
    assert command("a.fa")[1:3] == ("trial/", TrialOptions())
    assert not command("a.fa", "-q")[3].progress


@pytest.mark.parametrize(
    "words, keywords, message",
    [
        ("--stride 0", {"stride": 0}, "must be at least 1"),
        ("--stride 1.5", {"stride": 1.5}, "must be a whole number"),
        ("--share x", {"share": "x"}, "must be a number"),
        ("--share 1", {"share": 1}, "must be below 1"),
        ("--weight inf", {"weight": float("inf")}, "must be finite"),
        ("--weight nan", {"weight": float("nan")}, "must be finite"),
        ("--seed -1", {"seed": -1}, "must be at least 0"),
        ("--seed 10000000000000000000", {"seed": 10**19}, "must be below 9.2"),
        ("--how min", {"how": "min"}, "must be one of mean, max"),
        ("--wild --how max", {"wild": True, "how": "max"}, "does not go with"),
    ],
)
def test_bad_values_are_told_in_the_users_words(trial, words, keywords, message, capsys):
    with pytest.raises(TcnfastError, match=message) as caught:
        trial("a.fa", **keywords)
    assert "--" not in str(caught.value)
    with pytest.raises(SystemExit) as left:
        cli.main(["trial", "a.fa", *words.split()])
    said = capsys.readouterr().err
    assert left.value.code == 2 and message in said and words.split()[0] in said


def test_missing_and_unknown_words(trial, capsys):
    with pytest.raises(SystemExit):
        cli.main(["trial", "--stride", "3"])
    assert "GENOME is required" in capsys.readouterr().err
    with pytest.raises(TypeError, match="speed"):
        trial("a.fa", speed=3)
    with pytest.raises(TypeError, match="stride is given twice"):
        trial("a.fa", stride=3, options=TrialOptions())
    with pytest.raises(TypeError, match="resume"):
        trial("a.fa", resume=True)  # not one of this verb


def test_help_and_signature_are_made_of_the_fields(trial, capsys):
    with pytest.raises(SystemExit):
        cli.main(["trial", "--help"])
    said = capsys.readouterr().out
    for words in (
        "--stride BP",
        "spacing (default 32)",
        "drawing:",
        "-t, --targets TARGETS",
        "no 100 % check",
    ):
        assert words in said
    parameters = inspect.signature(trial).parameters
    assert list(parameters)[:3] == ["genome", "out", "stride"] and "device" in parameters
    assert parameters["stride"].default == 32 and "resume" not in parameters
    assert "stride (BP): spacing" in trial.__doc__


def test_a_file_of_options_gives_way_to_the_command_line(trial, command, tmp_path, capsys):
    path = tmp_path / "run.json"
    values = {"genome": ["x.fa"], "output": "y", "stride": 8, "how": "max", "targets": ["A"]}
    path.write_text(json.dumps(values | {"wild": False, "quiet": True}))
    genome, out, options, run = command("--config", path, "--stride", 16)
    assert (genome, out, options.stride) == (("x.fa",), "y", 16) and not run.progress
    assert (options.how, options.targets) == ("max", ("A",))
    for text, words in (("{", "not JSON"), ("[]", "must hold options"), ('{"x": 1}', "'x' is no")):
        path.write_text(text)
        assert cli.main(["trial", "--config", str(path)]) == 1
        assert words in capsys.readouterr().err


def test_setting():
    assert setting("track_floor") == "track_floor" and setting("force", True) == "force=True"
    with speaking_of_flags():
        assert setting("track_floor") == "--track-floor" and setting("force", True) == "--force"
        assert setting("strand", "max") == "--strand max" and setting("out") == "-o/--output"
    assert setting("out") == "out"
