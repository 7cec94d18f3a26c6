"""Recipes: what they may say, and that those of the examples fit what they speak of."""

import json
from pathlib import Path

import pytest

from tcnfast.base.errors import TcnfastError
from tcnfast.windows.window_recipe import Recipe, read_recipe

pytestmark = pytest.mark.checkout

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "windows"


def test_the_recipes_of_the_examples():
    found = {path.name.split(".")[0]: read_recipe(path) for path in EXAMPLES.glob("*.json")}
    assert {name: len(x.labels) for name, x in found.items()} == {
        "5tf3cl": 15,
        "7tf4cl": 27,
        "e2f": 15,
    }
    for name, recipe in found.items():
        assert recipe.name == name and recipe.about and recipe.max_windows == 20_000
        tfs, cells = zip(*(label.split("@") for label in recipe.labels), strict=True)
        if name != "e2f":
            assert f"{len(set(tfs))}tf{len(set(cells))}cl" == name


def test_the_recipes_of_ctcf():
    found = {path.name.split(".")[0]: read_recipe(path) for path in EXAMPLES.glob("ctcf/*.json")}
    assert len(found) == 20
    for name, recipe in found.items():
        assert recipe.name == name and recipe.about and len(recipe.labels) == 1
        assert recipe.trim == name.endswith("article")
        kind = name.split("-")[2]
        assert recipe.negatives == {"other" if recipe.trim else kind: 1.0}


def test_defaults_and_changes(tmp_path):
    (tmp_path / "r.json").write_text('{"name": "x", "labels": ["A@b"]}')
    recipe = read_recipe(tmp_path / "r.json")
    assert recipe == Recipe("x", ["A@b"]) and recipe.min_overlap == 100
    assert recipe.changed(length=300, seed=None).length == 300
    with pytest.raises(TcnfastError, match="length 100: must be at least that of the core, 200"):
        recipe.changed(length=100)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"labels": None}, "has no 'labels'"),
        ({"labels": []}, "has no labels"),
        ({"labels": "A"}, "labels is 'A', must be a list of names"),
        ({"labels": ["A", "A"]}, "label 'A' is listed twice"),
        ({"cells": ["b", "b"]}, "cell 'b' is listed twice"),
        ({"window": 500}, "'window' is no key of a recipe"),
        ({"length": "500"}, "length is '500', must be an integer"),
        ({"seed": True}, "seed is True, must be an integer"),
        ({"seed": -1}, "seed -1: must be at least 0"),
        ({"fraction": 1.5}, "fraction 1.5: must be above 0, and 1 at most"),
        ({"fraction": "half"}, "fraction is 'half', must be a number"),
        ({"merge": -1}, "merge -1: must be at least 0"),
        ({"core": 0}, "core 0: must be at least 1"),
        ({"max_windows": 0}, "max_windows 0: must be at least 1"),
        ({"negatives": 1}, "negatives is 1, must be windows per site"),
        ({"negatives": {"gc": "1"}}, "must be windows per site"),
        ({"trim": 1}, "trim is 1, must be true or false"),
        ({"trim": True}, "negatives of kind 'gc' have no peak to be cut to"),
        ({"negatives": {"dnase": 1}}, "negatives of kind 'dnase': must be one of gc, flank"),
        ({"negatives": {"gc": -1}}, "negatives gc -1: must be within 0 and 100"),
    ],
)
def test_bad_values(tmp_path, values, words):
    path = tmp_path / "r.json"
    recipe = {"name": "x", "labels": ["A"]} | values
    path.write_text(json.dumps({k: v for k, v in recipe.items() if v is not None}))
    with pytest.raises(TcnfastError) as error:
        read_recipe(path)
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value)


@pytest.mark.parametrize("text, words", [("[", "not JSON"), ("[]", "must hold an object")])
def test_files_that_are_no_recipes(tmp_path, text, words):
    path = tmp_path / "r.json"
    with pytest.raises(TcnfastError, match="cannot be read"):
        read_recipe(path)
    path.write_text(text)
    with pytest.raises(TcnfastError, match=words):
        read_recipe(path)
