"""What a command says of itself: a sentence, grouped flags with defaults, examples that parse; and
what it says of mistyped words."""

import re
import subprocess
import sys

import pytest
from support.cli import fails, of_shell

from tcnfast.base.command import asked, group_of
from tcnfast.base.errors import did_you_mean
from tcnfast.base.options import speaking_of_flags
from tcnfast.cli import build_parser, verbs

VERBS = verbs()
EXAMPLES = [(words, example) for words, verb in VERBS.items() for example in verb.examples]


def test_every_command_has_two_examples_that_parse():
    assert [words for words, verb in VERBS.items() if len(verb.examples) < 2] == []
    parser = build_parser()
    with speaking_of_flags():
        for words, example in EXAMPLES:
            args = parser.parse_args([*words.split(), *of_shell(example.words)])
            assert args.verb is VERBS[words]
            inputs, options, run = asked(args)  # a missing or wrong word ends with SystemExit
            assert isinstance(options, VERBS[words].options) and isinstance(inputs, dict)


def test_an_example_that_does_not_parse_is_seen(capsys):
    parser = build_parser()
    for words in (["scan"], ["scan", "x.fa", "--strand", "sum"], ["prepare", "-g", "x.fa"]):
        with pytest.raises(SystemExit):
            asked(parser.parse_args(words))
    assert "is required" in capsys.readouterr().err


@pytest.mark.parametrize("words", VERBS)
def test_help_has_a_sentence_groups_defaults_and_examples(run, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    verb = VERBS[words]
    code, out, err = run(*words.split(), "--help")
    assert (code, err) == (0, "")
    usage, _, sentence, *rest = out.splitlines()
    assert usage == f"usage: tcnfast {verb.synopsis} [options]"
    assert sentence == verb.sentence and re.fullmatch(r"[A-Z].*[^?][.?]", sentence)
    for name, spec in verb.settings.items():
        flag = f"--{name.replace('_', '-')}"
        (at,) = [
            i for i, x in enumerate(rest) if flag in x.split("   ")[0].replace(",", "").split()
        ]
        if spec.default not in (None, (), "", False):
            assert "default" in " ".join(rest[at : at + 2])  # a long flag stands on its own line
        heading = next(x for x in rest[at::-1] if x.endswith(":") and x[0] != " ")
        assert heading == f"{group_of(verb, name)}:"
    headings = [x for x in rest if x.endswith(":") and x[0] != " "]
    assert len(headings) == len(set(headings)), "a heading twice"
    for example in verb.examples:
        assert f"    tcnfast {words} {example.words}".rstrip() in rest


def test_help_says_where_a_scan_goes_without_an_output(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (line,) = [x for x in run("scan", "--help")[1].splitlines() if "--output DIR" in x]
    assert line.endswith("output folder (default scan/ in the working folder)")


def test_no_help_imports_what_takes_long():
    code = (
        "import sys, io, contextlib\n"
        "from tcnfast.cli import main, verbs\n"
        "for words in ['', *verbs()]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        main([*words.split(), '--help'])\n"
        "heavy = {'torch', 'numba', 'numpy', 'pandas', 'sklearn', 'scipy', 'tqdm'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


@pytest.mark.parametrize(
    "words, usage, complaint",
    [
        ("scna x.fa", "usage: tcnfast [--help] {scan,", "no 'scna'; did you mean scan?"),
        ("--hlep", "usage: tcnfast [--help]", "no '--hlep'; did you mean --help?"),
        ("-q scan x.fa", "usage: tcnfast [--help]", "'-q'; flags stand behind the command"),
        ("blargh", "usage: tcnfast [--help] {scan,", "no 'blargh'; it has scan, index,"),
        ("windows trian", "usage: tcnfast windows [--help] {prepare,", "did you mean train?"),
        ("scan x.fa --track-formt zarr", "usage: tcnfast scan FASTA", "did you mean --track-form"),
        ("scan x.fa --qqq=1", "usage: tcnfast scan FASTA", "tcnfast scan --help shows what"),
        ("info more", "usage: tcnfast info [-m MODEL]", "unrecognized arguments: more"),
        ("cobind pairs --mni-sites 3", "usage: tcnfast cobind pairs", "did you mean --min-sites"),
    ],
)
def test_mistyped_words_get_a_suggestion_and_the_usage(run, words, usage, complaint):
    code, out, err = run(*words.split())
    assert (code, out) == (2, "") and err.startswith(usage) and complaint in err, err
    assert len(err.splitlines()) == 2


def test_mistyped_names_get_a_suggestion(run, home, tmp_path):
    genome, model = home / "genome.fa", home / "model"
    fails(run("labels", "CTFC"), "no label 'CTFC'; did you mean CTCF")
    fails(run("scan", genome, "-m", model, "-t", "REST1"), "did you mean REST?")
    fails(run("info", "-m", "encode_v1"), "did you mean encode-v1")
    fails(run("scan", genome, "--motifs", "jaspr"), "did you mean jaspar")
    fails(run("scan", genome, "--motifs", "jaspar", "-t", "CTCFX"), "did you mean CTCF")
    (tmp_path / "c.json").write_text('{"strid": 8}')
    fails(run("scan", genome, "--config", "c.json"), "did you mean stride")


def test_did_you_mean():
    known = ["CTCF", "CTCFL", "MAX"]
    assert did_you_mean("ctfc", known) == "did you mean CTCF, CTCFL?"
    assert did_you_mean("zzz", known) == did_you_mean("x", []) == ""
