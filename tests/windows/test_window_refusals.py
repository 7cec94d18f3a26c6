"""What ``tcnfast windows prepare`` refuses, and how it says so."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.cli import fails
from support.prepare import Lab
from support.window import recipe_file, window_words

from tcnfast.base.errors import TcnfastError
from tcnfast.windows import window_build
from tcnfast.windows.architectures import build
from tcnfast.windows.window_ground import Spans


def test_an_existing_folder_is_not_replaced_without_force(run, lab, made):
    fails(run(*window_words(lab, recipe_file(lab, min_peaks=19), "-q")), "--force")


@pytest.mark.parametrize(
    "values, words",
    [
        ({"labels": ["A@one", "E@one"]}, ["label 'E@one' has no peaks", "A@one, A@three"]),
        ({"labels": ["A"], "cells": ["six"]}, ["label 'A' has no peaks"]),
        ({"labels": ["A"], "cells": ["one", "six"]}, ["is of cell line 'six'"]),
        ({"min_peaks": 60}, ["fewer than 60 training peaks: A@two (", "C@two (", "--min-peaks"]),
        ({"length": 120_001}, ["windows of 120001 bases are longer than contig 'chr2'"]),
        ({"labels": ["A@one"], "negatives": {}}, ["'A@one' has no unbound window", "negatives"]),
    ],
    ids=["label", "cells", "cell", "few", "long", "one-class"],
)
def test_recipes_that_do_not_fit_the_data(run, lab, values, words):
    recipe = recipe_file(lab, "bad.json", **values)
    fails(run(*window_words(lab, recipe, "-q")), *words)
    assert not Path("set").exists() and not Path("set.partial").exists()


def test_a_label_in_one_part_only(run, lab):
    """D has peaks on every contig; without those of test it is refused."""
    peaks = dict(lab.peaks) | {"D@four": [x for x in lab.peaks["A@one"] if x[0] == "chr1"]}
    other = Lab(lab.folder, peaks, lab.relaxed)
    other.table("one.bed", peaks)
    recipe = recipe_file(lab, "d.json", labels=["A@one", "D@four"])
    words = window_words(lab, recipe, "-q")
    words[words.index(lab.folder / "peaks.bed")] = lab.folder / "one.bed"
    fails(run(*words), "'D@four' has no bound window in valid (train ", "valid 0, test 0)")


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_part_without_regions(run, lab, part):
    split = {"train": ["chr1"], "valid": ["chr2"], "test": ["chr3"]} | {part: []}
    (lab.folder / "part.json").write_text(json.dumps(split))
    words = window_words(lab, recipe_file(lab), "-q", split="part.json")
    fails(run(*words), f"part.json: {part} holds no region")


@pytest.mark.parametrize(
    "more, words",
    [
        (["--label-bin", 100], "unrecognized arguments: --label-bin"),
        (["--length", 0], "--length 0: must be at least 1"),
        (["--assembly", "hg19"], "--assembly goes with --encode"),
    ],
)
def test_usage(run, lab, more, words):
    code, out, err = run(*window_words(lab, recipe_file(lab), *more))
    assert code == 2 and out == "" and words in err


def test_a_leak_stops_the_build(run, lab, monkeypatch):
    """Should a kind of negatives ever forget its part."""

    def forgetful(ground, part, *_):
        return Spans(np.zeros(1, np.int16), np.full(1, 50_000)), 0

    monkeypatch.setattr(window_build, "gc_matched", forgetful)
    words = window_words(lab, recipe_file(lab), "-q")
    assert "chr1:50000-50500" in fails(run(*words), "(train)", "overlap: parts share bases")
    assert not Path("set").exists()


@pytest.mark.parametrize(
    "arch, length, shape, words",
    [
        ("conv-bilstm", 200, {"hidden": 10**6}, "hidden 1000000: must be within 1 and 4,096"),
        ("tcn", 10**12, {}, "length 1000000000000: must be within 1 and 1,048,576"),
        ("danq", 200, {"pool": 0}, "pool 0: must be within 1 and"),
        ("deepbind", 200, {"filters": -3}, "filters -3: must be within 0 and"),
        ("deepbind", 200, {"dropout": 5.0}, "arch deepbind: dropout probability"),
        ("deepbind", "long", {}, "arch deepbind: "),
        ("deepbind", 200, ["filters"], "arch deepbind: "),
        (["tcn"], 200, {}, "must be one of tcn, "),
    ],
)
def test_networks_that_a_stranger_describes(arch, length, shape, words):
    """Before anything is allocated; a folder's config.json says so too."""
    with pytest.raises(TcnfastError) as caught:
        build(arch, ["A"], length, "one-hot", shape)
    assert words in str(caught.value)
