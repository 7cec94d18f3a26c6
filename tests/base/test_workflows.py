"""Workflows, recipe and Dockerfile, which nothing here can run, name what is there."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def runs(workflow):
    """The commands of a workflow."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


def test_the_workflows_are_these():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(workflow):
    made = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = list(runs(workflow))
    assert commands
    for command in commands:
        words = command.split()
        if words[0] == "make":
            assert words[-1] in made | {".venv/installed"}
        elif words[0] == "python":
            assert (ROOT / words[1]).exists()
        else:
            assert words[0] == "pipx" or (ROOT / words[0]).exists(), command


def test_ci_runs_what_decides_whether_a_change_lands():
    assert ".ci/run" in list(runs(ROOT / ".github" / "workflows" / "ci.yml"))


def test_only_the_job_that_publishes_may_identify_itself():
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    assert release["permissions"] == {"contents": "read"}
    allowed = {name for name, job in release["jobs"].items() if "permissions" in job}
    assert allowed == {"publish"} and "secrets." not in str(release)


def recipe():
    """The recipe as conda's templates make it, as far as YAML goes."""
    text = (ROOT / "recipe" / "meta.yaml").read_text()
    (version,) = re.findall(r'set version = "(.+?)"', text)
    text = re.sub(r"{%.*?%}", "", text).replace("{{ version }}", version)
    return yaml.safe_load(re.sub(r"{{.*?}}", "x", text))


def test_the_recipe_asks_for_what_the_package_asks_for():
    renamed = {"torch": "pytorch"}
    wanted = {x.replace(">=", " >=") for x in PROJECT["project"]["dependencies"]}
    wanted = {
        " ".join([renamed.get(x.split()[0], x.split()[0].lower()), x.split()[1]]) for x in wanted
    }
    made = recipe()
    assert set(made["requirements"]["run"]) == {"python", *wanted}
    host = {x.replace(" ", "") for x in made["requirements"]["host"]}
    assert host == {"python", "pip", *PROJECT["build-system"]["requires"]}
    assert (ROOT / "recipe" / made["source"]["path"]).resolve() == ROOT
    assert made["about"]["license"] == PROJECT["project"]["license"]


def test_the_extras_of_the_image_exist():
    text = (ROOT / "Dockerfile").read_text()
    for extra in re.findall(r"EXTRAS=(\w+)", text):
        assert extra in PROJECT["project"]["optional-dependencies"]


def test_wheels_are_made_for_every_python_that_is_promised():
    promised = re.findall(r"Python :: (3\.\d+)", str(PROJECT["project"]["classifiers"]))
    built = re.findall(r"cp3(\d+)", PROJECT["tool"]["cibuildwheel"]["build"])
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = ci["jobs"]["wheel"]["strategy"]["matrix"]["python"]
    assert [f"3.{minor}" for minor in built] == matrix
    assert set(promised) <= set(matrix)
