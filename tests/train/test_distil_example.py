"""examples/distil.py: two small teachers, two students and their mean; it goes on where it was
stopped."""

import json
import runpy
from pathlib import Path

import pytest
from support.cli import data_words

from tcnfast.base.command import asked
from tcnfast.cli import build_parser
from tcnfast.model.load_model import load_model
from tcnfast.model.model_folder import ModelFolder

pytestmark = pytest.mark.checkout

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "distil.py"
RECIPE = {
    "train": {
        "blocks": 3,
        "steps": 6,
        "epoch-steps": 3,
        "batch-size": 8,
        "min-peaks": 10,
        "precision": "fp32",
        "device": "cpu",
        "quiet": True,
    },
    "teachers": {
        "one": {"channels": 4, "seed": 1, "hours": 1.5},
        "two": {"channels": 6, "symmetric": True, "seed": 2, "hours": 0.5},
    },
    "students": {
        name: {"channels": 4, "symmetric": True, "seed": seed, "teacher-share": 0.8, "hours": 0.25}
        for name, seed in (("a", 3), ("b", 4))
    },
}


@pytest.fixture(scope="module")
def chain(lesson, tmp_path_factory):
    """Runs the example on a recipe, in one folder."""
    folder = tmp_path_factory.mktemp("distil")

    def run(recipe=RECIPE):
        (folder / "recipe.json").write_text(json.dumps(recipe))
        words = [folder / "recipe.json", "-o", folder / "runs", *data_words(lesson)]
        return runpy.run_path(str(EXAMPLE))["main"]([str(word) for word in words])

    return run


def test_the_chain_and_again(chain, capsys):
    mean = chain()
    assert "4 of 4 networks to train, about 2.5 hours: one, two, a, b" in capsys.readouterr().out
    runs = mean.parent
    members = load_model(mean).members
    assert len(members) == 2 and all(one.config.symmetric for one in members)
    assert set(load_model(mean).thresholds) == set(load_model(mean).labels)
    scored = {one.name for one in runs.iterdir() if (one / "scores.test.tsv").exists()}
    assert scored == {"mean"}, "test was scored of what is no result"
    for name in "ab":
        card = ModelFolder(runs / name).path.joinpath("README.md").read_text()
        assert "- `one` (SHA-256" in card and "- `two` (SHA-256" in card
    weights = [(runs / name / "model.safetensors").read_bytes() for name in ("one", "b", "mean")]
    (runs / "b").rename(runs.parent / "lost")
    assert chain() == mean
    assert "1 of 4 networks to train, about 0.2 hours: b" in capsys.readouterr().out
    again = [(runs / name / "model.safetensors").read_bytes() for name in ("one", "b", "mean")]
    assert again == weights


def test_a_network_of_another_recipe_is_not_taken_for_this_one(chain, capsys):
    chain()
    other = RECIPE | {"teachers": {"one": {"channels": 4, "seed": 5, "hours": 1}}}
    with pytest.raises(SystemExit) as stopped:
        chain(other)
    assert stopped.value.code == 1 and "another run" in capsys.readouterr().err


def test_a_student_learns_from_named_models_too(chain):
    mean = chain()
    student = RECIPE["students"]["a"] | {"teacher": [str(mean)]}
    one = {"one": RECIPE["teachers"]["one"]}
    taught = chain(RECIPE | {"teachers": one, "students": {"c": student}})
    assert taught == mean.parent / "c"
    card = ModelFolder(taught).path.joinpath("README.md").read_text()
    assert card.index("- `mean` (SHA-256") < card.index("- `one` (SHA-256")


def test_the_recipe_of_the_bundled_student_parses():
    """Every network's settings are words of ``tcnfast train``."""
    recipe = json.loads((EXAMPLE.parent / "encode-v2.json").read_text())
    words = runpy.run_path(str(EXAMPLE))["words"]
    for name, one in (recipe["teachers"] | recipe["students"]).items():
        settings = {key: value for key, value in (recipe["train"] | one).items() if key != "hours"}
        _, options, _ = asked(build_parser().parse_args(["train", *words(settings), "-o", name]))
        assert options.symmetric == settings.get("symmetric", False)
        assert (options.seed, options.steps) == (one["seed"], one["steps"])
