"""The examples for workflow engines: run where the engine is installed, else read."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.scan import FP32, files_in, random_letters, write_fasta

import tcnfast
from tcnfast.base.command import asked
from tcnfast.cli import build_parser

pytestmark = pytest.mark.checkout

WORKFLOWS = Path(__file__).parents[2] / "examples" / "workflows"
SNAKEFILE, NEXTFLOW = WORKFLOWS / "Snakefile", WORKFLOWS / "nextflow" / "main.nf"


def commands(text):
    """The tcnfast commands of a workflow, with words in the places of its variables."""
    text = re.sub(r"\$?\{[^{}]*(?:number)[^{}]*\}", "1", text)
    text = re.sub(r"\{SHARDS\}", "2", text)
    text = re.sub(r"\{OPTIONS\}|\$\{params\.options\}", "", text)
    text = re.sub(r"\{threads\}|\$\{task\.cpus\}", "2", text)
    text = re.sub(r"\$?\{[^{}\s]*\}", "x", text)
    joined = re.sub(r'"\s*\n\s*"', "", text)
    return [line.strip().strip('"') for line in joined.splitlines() if "tcnfast " in line]


@pytest.mark.parametrize("path, verbs", [(SNAKEFILE, ["scan", "merge"]), (NEXTFLOW, ["scan"])])
def test_the_commands_of_a_workflow_parse(path, verbs):
    lines = [x for x in commands(path.read_text()) if x.startswith("tcnfast ")]
    parsed = [build_parser().parse_args(shlex.split(line)[1:]) for line in lines]
    assert [args.verb.command for args in parsed] == verbs
    for args in parsed:
        asked(args)  # a wrong value ends with SystemExit


def test_the_brackets_of_the_nextflow_workflow_close():
    for path in (NEXTFLOW, NEXTFLOW.with_name("nextflow.config")):
        text = re.sub(r"//[^\n]*", "", path.read_text())
        for opens, closes in ("{}", "()", "[]"):
            assert text.count(opens) == text.count(closes)
        assert "{" in text
        assert text.count('"""') % 2 == 0


@pytest.fixture(name="table")
def fixture_table(tmp_path, model):
    rows = ["name\tpath"]
    for i in range(2):
        path = write_fasta(tmp_path / f"{i}.fa", {"chr1": random_letters(30_000, i)})
        rows.append(f"genome{i}\t{path}")
    table = tmp_path / "genomes.tsv"
    table.write_text("\n".join(rows) + "\n")
    return table


def environment(tmp_path):
    """That of a user: ``tcnfast`` is a command, and the home folder another."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "tcnfast"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tcnfast "$@"\n')
    command.chmod(0o755)
    package = Path(tcnfast.__file__).parents[1]
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(package), "HOME": str(tmp_path)}


def check(tmp_path, model):
    for i in range(2):
        alone = tcnfast.scan(tmp_path / f"{i}.fa", model, tmp_path / f"alone{i}", **FP32)
        assert files_in(tmp_path / "scans" / f"genome{i}") == files_in(alone.path)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("snakemake") is None, reason="Snakemake is not installed")
def test_the_snakemake_workflow_runs(table, model, tmp_path):
    words = ["--config", f"genomes={table}", f"model={model}", "shards=2"]
    words += ["options=--precision fp32 --device cpu"]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", SNAKEFILE, "--cores", "2", *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    check(tmp_path, model)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nextflow") is None, reason="Nextflow is not installed")
def test_the_nextflow_workflow_runs(table, model, tmp_path):
    words = ["--genomes", table, "--model", model, "--options", "--precision fp32 --device cpu"]
    run = subprocess.run(
        ["nextflow", "run", NEXTFLOW.parent, *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    check(tmp_path, model)
