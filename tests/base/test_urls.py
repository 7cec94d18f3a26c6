"""A Path of a URL has one slash of two: every verb refuses it, and makes no folder of it."""

import os
from pathlib import Path

import pytest

import tcnfast
from tcnfast.base.errors import TcnfastError
from tcnfast.base.input_files import check_no_url
from tcnfast.base.store import lacks_slash
from tcnfast.cli import verbs

PEAKS, BED = {"peaks": "x.bed", "split": "x.json"}, {"bed": "x.bed"}
NEEDED = {  # else these are missed first
    **{"prepare": PEAKS, "windows prepare": {**PEAKS, "seed": 0}},
    **{"attribute": BED, "windows attribute": BED},
}
INPUTS = [(verb, x) for verb in verbs().values() for x in verb.inputs]


@pytest.mark.parametrize("verb, given", INPUTS, ids=[f"{v.command} {x.name}" for v, x in INPUTS])
def test_every_input_and_output_refuses_it(verb, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = Path("s3://bucket/run")
    for value in (url, [url], str(url)) if given.many else (url, str(url)):
        words = {x.name: "x" for x in verb.inputs} | {given.name: value}
        with pytest.raises(TcnfastError, match=r"^s3:/bucket/run: is neither a path nor a URL"):
            verb.function(**words, **NEEDED.get(verb.command, {}))
    assert os.listdir(tmp_path) == []


def test_an_option_and_the_command_line_refuse_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TcnfastError, match=r"^gs:/b/peaks.bed: is neither"):
        tcnfast.prepare("x.fa", peaks=[Path("gs://b/peaks.bed")])
    code, _, err = run("scan", "x.fa", "-o", "memory:/b/scan")
    assert code == 1 and "memory:/b/scan: is neither" in err and os.listdir(tmp_path) == []


def test_what_lacks_a_slash():
    assert lacks_slash("s3:/b") and lacks_slash(Path("file:///tmp/x")) and lacks_slash("gs:/")
    for path in ("s3://b", "./s3:/b", "/s3:/b", "C:/x", "chr1:1-2", Path("a"), None, 3):
        assert not lacks_slash(path)
    for url in ("https://x.org/a.fa", Path("https://x.org/a.fa"), "memory://a"):
        with pytest.raises(TcnfastError, match="is a URL; download it first"):
            check_no_url(url)
