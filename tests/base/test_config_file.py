"""``--config``: a file of flags, which the command line overrides."""

import json

import pytest
from support.cli import assert_nothing_written, fails, scan_words
from support.scan import run_record_of


@pytest.fixture
def config(tmp_path):
    def write(values, name="flags.json"):
        (tmp_path / name).write_text(values if isinstance(values, str) else json.dumps(values))
        return tmp_path / name

    return write


def key_of(run, home, *flags):
    code, _, err = run(*scan_words(home, "out", "-q", "--force", *flags))
    assert (code, err) == (0, "")
    return run_record_of("out")["key"]


def test_a_config_stands_in_for_flags(run, home, config):
    path = config({"stride": 64, "strand": "max", "max-gap": 0, "min_length": 1, "chroms": "chrM"})
    key = key_of(run, home, "--config", path)
    names = ("stride", "strand", "max_gap", "min_length", "chroms")
    assert [key[name] for name in names] == [64, "max", 0, 1, ["chrM"]]


def test_the_command_line_wins(run, home, config):
    path = config({"stride": 64, "strand": "max", "chroms": "chrM"})
    key = key_of(run, home, "--config", path, "--stride", 16, "--strand", "+")
    assert (key["stride"], key["strand"], key["chroms"]) == (16, "+", ["chrM"])


def test_the_command_line_wins_even_with_the_default_value(run, home, config):
    path = config({"stride": 64, "strand": "max"})
    key = key_of(run, home, "--config", path, "-c", "chrM", "--stride", 32, "--strand", "both")
    assert (key["stride"], key["strand"]) == (32, "both")


def test_config_values_are_what_the_flags_would_be(run, home, config):
    path = config({"chroms": "chrM,chr1_alt", "stride": "64", "targets": ["REST"]})
    key = key_of(run, home, "--config", path)
    assert key["chroms"] == ["chr1_alt", "chrM"] and key["stride"] == 64
    assert key["targets"] == ["REST"]


@pytest.mark.parametrize(
    "values, words",
    [
        ({"strid": 64}, "'strid' is no option of tcnfast scan"),
        ({"epoch-steps": 64}, "'epoch-steps' is no option of tcnfast scan"),
        ({"run": "rm"}, "'run' is no option of tcnfast scan"),
        ("{", "not JSON"),
        ("[1, 2]", "flags.json"),
        ('{"stride": 0}', "stride"),
        ('{"stride": "wide"}', "stride"),
        ('{"batch-size": "two"}', "batch"),
        ('{"threads": 0.5}', "threads"),
        ('{"strand": "sum"}', "strand"),
    ],
)
def test_bad_configs(run, home, config, tmp_path, values, words):
    path = config(values)
    code, out, err = run(*scan_words(home, "out", "-q", "-c", "chrM", "--config", path))
    assert code in (1, 2) and out == "" and "Traceback" not in err and "defect" not in err
    assert words in err.splitlines()[-1]
    assert_nothing_written(tmp_path, "flags.json")


def test_a_config_that_is_not_there(run, home, tmp_path):
    fails(run(*scan_words(home, "out", "-q", "--config", "none.json")), "none.json")
    assert_nothing_written(tmp_path)
