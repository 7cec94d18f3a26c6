"""Attributions with planted motifs, made without a network, and known motifs to compare with."""

import json

import numpy as np

from support.scan import write_fasta
from tcnfast.attribute.attributions import Attributions
from tcnfast.base.file_names import file_names
from tcnfast.motifs.modisco_options import ModiscoOptions
from tcnfast.pwm.meme import Motif, write_meme

WIDTH = 121  # of a window; the middle base is the 61st
GENOME = 120_000
SITES = {"ONE": "TGACGTCATTGC", "TWO": "CCACTAGGGGGA"}
QUICK = ModiscoOptions(
    window=120,
    sliding_window_size=12,
    flank_size=4,
    min_metacluster_size=30,
    n_leiden_runs=1,
    trim_to_window_size=16,
    initial_flank_to_add=4,
    final_min_cluster_size=10,
    min_num_to_trim_to=10,
)


def write_attributions(folder, *attributions):
    """A folder as ``tcnfast attribute`` writes it, of arrays alone."""
    folder.mkdir(parents=True, exist_ok=True)
    windows = {one.label: len(one) for one in attributions}
    record = {"key": {"command": "attribute"}, "windows": windows}
    (folder / "run.json").write_text(json.dumps(record))
    for one, name in zip(attributions, file_names(list(windows)), strict=True):
        one.save(folder / f"{name}.npz")
    return folder


def codes_of(letters: str) -> np.ndarray:
    return np.array(["ACGT".index(letter) for letter in letters], np.uint8)


def planted_windows(label, motifs, n, seed=0, noise=0.05):
    """Attributions of ``n`` windows along a genome, each with one of ``motifs``, and truth.

    ``motifs`` maps names to the sign of their contributions. Truth: name -> set of (start, strand)
    of its sites. The genome is uint8 codes, to be written as contig chr1.
    """
    rng = np.random.default_rng(seed)
    genome = rng.integers(0, 4, GENOME, np.uint8)
    start = 200 + 300 * np.arange(n, dtype=np.int64)
    hypothetical = rng.normal(0, noise, (n, 4, WIDTH)).astype(np.float32)
    truth = {name: set() for name in motifs}
    for window in range(n):
        name = list(motifs)[window % len(motifs)]
        site, reverse = codes_of(SITES[name]), bool(rng.random() < 0.5)
        wanted = np.eye(4, dtype=np.float32)[site].T - 0.25  # (4, width)
        if reverse:
            site, wanted = 3 - site[::-1], wanted[::-1, ::-1]
        at = int(rng.integers(30, WIDTH - 30 - len(site)))
        place = int(start[window]) + at
        genome[place : place + len(site)] = site
        hypothetical[window, :, at : at + len(site)] += motifs[name] * wanted
        truth[name].add((place, "-" if reverse else "+"))
    codes = genome[start[:, None] + np.arange(WIDTH)]
    logit = rng.normal(0, 1, n).astype(np.float32)
    chrom = np.array(["chr1"] * n)
    return Attributions(label, "planted", chrom, start, codes, hypothetical, logit), truth, genome


def write_genome(path, genome):
    write_fasta(path, {"chr1": np.frombuffer(b"ACGTN", np.uint8)[genome]})


def sharp(letters, name):
    """A motif of these bases and hardly any other."""
    return Motif(name, f"M_{name}", 0.9 * np.eye(4)[codes_of(letters)] + 0.025)


def random_motifs(n, seed=3):
    rng = np.random.default_rng(seed)
    shares = [rng.dirichlet([0.3] * 4, int(rng.integers(8, 16))) for _ in range(n)]
    return [Motif(f"random{i}", f"R{i}", matrix) for i, matrix in enumerate(shares)]


def write_known(path):
    """A MEME file of the motifs of SITES, named ONE and TWO, among 40 random ones."""
    motifs = random_motifs(40) + [sharp(letters, name) for name, letters in SITES.items()]
    write_meme(path, motifs, [20] * len(motifs))
