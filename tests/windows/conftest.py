"""Fixtures of the tests of windows/."""

import json

import numpy as np
import pytest
from support.prepare import Lab
from support.scan import write_fasta
from support.study import STUDY_SIZES, planted_set
from support.wavelet import learn_repeats
from support.window import BLOCK, GAP, LABELS, SIZES, SPLIT, blocky_letters, built, peak_rows


@pytest.fixture(name="lab", scope="module")
def fixture_lab(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("lab"), np.random.default_rng(5)
    contigs, centres = {}, []
    for seed, (name, size) in enumerate(SIZES.items()):
        contigs[name], gc = blocky_letters(size, seed)
        for block in np.flatnonzero(gc > 0.45).tolist():
            for _ in range(1 if block % 4 else 3):
                position = BLOCK * block + int(rng.integers(200, BLOCK - 200))
                centres.append((name, min(position, size - 300)))
    contigs["chr1"][slice(*GAP)] = ord("N")
    write_fasta(folder / "g.fa", contigs)
    (folder / "split.json").write_text(json.dumps(SPLIT))
    (folder / "blacklist.bed").write_text("chr1\t30000\t36000\nchr3\t12000\t18000\n")
    shares = dict(zip([*LABELS, "A@three", "D@four"], (0.5, 0.5, 0.3, 0.3, 0.5, 0.1), strict=True))
    peaks = {label: peak_rows(rng, centres, share) for label, share in shares.items()}
    peaks["A@one"].append(("chr1", 20, 200, 60))  # its window reaches beyond the contig
    relaxed = {label: peak_rows(rng, centres, 0.1) for label in LABELS[:2]}
    lab = Lab(folder, peaks, relaxed)
    lab.table("peaks.bed", peaks)
    lab.table("relaxed.bed", relaxed)
    return lab


@pytest.fixture(name="made")
def fixture_made(run, lab):
    return built(run, lab)[0]


@pytest.fixture(name="learned", scope="session")
def fixture_learned():
    return learn_repeats()


@pytest.fixture(name="sets", scope="module")
def fixture_sets(tmp_path_factory):
    """The window sets of :func:`support.study.write_study`."""
    folder = tmp_path_factory.mktemp("sets")
    planted_set(sizes=STUDY_SIZES).save(folder / "many")
    for i in range(3):
        one = {**STUDY_SIZES, "train": 128 + 64 * i}
        planted_set(("ONE@x",), seed=i + 1, sizes=one).save(folder / f"one{i}")
    return folder
