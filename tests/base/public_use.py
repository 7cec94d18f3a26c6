"""What a user may write, checked by mypy --strict and never run: every public name, with the types
of what it gives. See [tool.mypy] in pyproject.toml."""

from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

import tcnfast
from tcnfast.attribute.attribution_folder import AttributionFolder
from tcnfast.data.prepared import DatasetFolder
from tcnfast.model.ensemble import Ensemble
from tcnfast.motifs.motif_folder import MotifFolder
from tcnfast.scan.scan_folder import ScanFolder
from tcnfast.scan.shard_folder import ShardFolder


def verbs(folder: Path) -> None:
    scan = tcnfast.scan("hg38.fa", out=folder, stride=64, targets=["CTCF"], cutoff=0.5)
    assert isinstance(scan, ScanFolder)  # and neither a part of one nor many
    assert_type(scan.summary, pd.DataFrame)
    assert_type(scan.calls("CTCF@K562"), pd.DataFrame)
    assert_type(scan.hits("MA0139.2"), pd.DataFrame)
    assert_type(scan.tracks, dict[str, Path])
    assert_type(tcnfast.index(["a.fa", Path("b.fa")]), list[Path])
    data = tcnfast.prepare("hg38.fa", folder, peaks=["a.bed"], blacklist=Path("b.bed"))
    assert_type(data, DatasetFolder)
    assert_type(data.table(), pd.DataFrame)
    trained = tcnfast.train(folder, "model", symmetric=True, steps=100)
    assert_type(trained, tcnfast.ModelFolder)
    assert_type(trained.epochs(), pd.DataFrame)
    assert_type(tcnfast.average(["a", "b"]).labels, list[str])
    scored = tcnfast.evaluate(folder, "model")
    assert not isinstance(scored, ShardFolder)  # a part of one
    assert_type(scored.frame(), pd.DataFrame)
    why = tcnfast.attribute("hg38.fa", scan=folder, top=100)
    assert isinstance(why, AttributionFolder)
    assert_type(why.regions, pd.DataFrame)
    found = tcnfast.motifs(folder, "motifs")
    assert_type(found, MotifFolder)
    assert_type(found.motifs, pd.DataFrame)
    assert_type(tcnfast.convert([folder, "motifs"]), Path)
    assert_type(tcnfast.doctor("hg38.fa").sound, bool)
    assert_type(tcnfast.report([folder, "motifs"]), Path)
    assert_type(tcnfast.variants("a.vcf", "hg38.fa").table(), pd.DataFrame)
    assert_type(tcnfast.cobind.pairs(folder)["observed"].table, pd.DataFrame)
    assert_type(tcnfast.cobind.motifs(names=["CTCF", "SP1"]).table, pd.DataFrame)
    assert_type(tcnfast.cobind.sites("hg38.fa", scan="scan/").table, pd.DataFrame)
    one = tcnfast.windows.train("set", "model", epochs=2)
    assert_type(one, tcnfast.ModelFolder)
    assert_type(tcnfast.windows.evaluate("set", one.path).frame(), pd.DataFrame)
    assert_type(tcnfast.windows.study("study.json", "study").validation(), pd.DataFrame)
    tcnfast.windows.attribute("hg38.fa", "model", "out", layers="layer4.2")
    tcnfast.bench(stride=64)
    tcnfast.info()
    tcnfast.models()
    tcnfast.labels("CTCF")


def networks(codes: npt.NDArray[np.uint8]) -> Tensor:
    model = tcnfast.load_model("encode-v1")
    assert_type(model, tcnfast.TCN | Ensemble)
    assert_type(model.labels, list[str])
    assert_type(model.receptive_field, int)
    made = tcnfast.TCN(tcnfast.TCNConfig(labels=["CTCF"], channels=32))
    assert_type(made.dense(codes, stride=32), Tensor)
    made.save("model/")
    tcnfast.Plan("encode-v1"), tcnfast.Plan(Path("model/"))
    plan = tcnfast.Plan(made, stride=32, strand="both")
    assert_type(plan.backend, str)
    return plan(codes)


def genomes(path: Path) -> npt.NDArray[np.uint8]:
    with tcnfast.Genome(path) as genome:
        assert_type(genome.sizes, dict[str, int])
        codes = genome.codes("chr1", 0, 100)
    try:
        return tcnfast.encode("ACGT")
    except tcnfast.TcnfastError as error:
        print(tcnfast.one_hot(codes).shape, error, tcnfast.__version__)
        raise
