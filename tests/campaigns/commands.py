"""Every command that writes something, small, for the campaigns: its inputs are made here."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ledger import FOLDER
from process import Process

QUICK = "--channels 8 --blocks 3 --steps 30 --epoch-steps 6 --batch-size 16 --min-peaks 10"
DATA = "-g genome.fa --peaks peaks.bed --split split.json"
MODEL = "-m model --device cpu --precision fp32"
MODISCO = (
    "--window 120 --sliding-window-size 12 --flank-size 4 --min-metacluster-size 30 "
    "--n-leiden-runs 1 --trim-to-window-size 16 --initial-flank-to-add 4 "
    "--final-min-cluster-size 10 --min-num-to-trim-to 10"
)
# the words of each command; the last one goes on where a run was stopped, or does it anew
COMMANDS = {
    "scan": f"scan genome.fa {MODEL} --tracks REST --resume",
    "scan zarr": f"scan genome.fa {MODEL} --tracks REST --track-format zarr --resume",
    "scan --hub": f"scan genome.fa {MODEL} --hub hg38 --resume",
    "scan --devices": "scan genome.fa -m model --devices cpu,cpu --precision fp32 --resume",
    "scan --motifs": "scan genome.fa --motifs m.meme --p-value 1e-3 --resume",
    "scan --shard": f"scan genome.fa {MODEL} --shard 1/2 --resume",
    "scan --genomes": f"scan --genomes genomes.tsv {MODEL} --resume",
    "merge": "merge shard1 shard2 -g genome.fa -m model --resume",
    "index": "index genome.fa --force",
    "prepare": f"prepare {DATA} --force",
    "train": f"train {DATA} {QUICK} --precision fp32 --device cpu --threads 1 --resume",
    "evaluate": f"evaluate {DATA} {MODEL} --force",
    "average": f"average model other {DATA} --precision fp32 --device cpu --force",
    "attribute": "attribute -g genome.fa -m model -b regions.bed --device cpu --threads 1 --resume",
    "motifs": f"motifs planted --motifs known.meme --threads 1 {MODISCO} --resume",
    "convert": "convert attributed --force",
    "report": "report scanned attributed --force",
    "variants": "variants v.tsv -g genome.fa -m model --device cpu --resume",
    "variants vcf": "variants v.vcf -g genome.fa -m model --device cpu --format vcf --resume",
    "cobind pairs": f"cobind pairs {DATA} --replicates 20 --force",
    "cobind motifs": f"cobind motifs {MODEL} --motifs m2.meme --backgrounds 8 --max-gap 6 --force",
    "cobind sites": f"cobind sites -g genome.fa {MODEL} --peaks peaks.bed --motifs m2.meme "
    "--names X --min-sites 6 --reach 16 --force",
    "export": "export model --force",
    "windows prepare": f"windows prepare recipe.json {DATA} --force",
    "windows train": "windows train set --epochs 2 --batch-size 64 --precision fp32 --device cpu "
    "--arch tcn --force",
    "windows evaluate": "windows evaluate set -m window-model --device cpu --precision fp32 "
    "--force",
    "windows study": "windows study study.json --data . --device cpu",
    "windows attribute": "windows attribute -g genome.fa -m wavelet -b regions.bed --device cpu "
    "--threads 1 --resume",
}
if find_spec("onnx") is None:
    del COMMANDS["export"]
if find_spec("monai") is None:
    del COMMANDS["windows attribute"]
WHOLE = "whole.2"  # there once all inputs are; of another name where they are others
SUFFIX = {"index": ".2bit", "report": ".html", "export": ".onnx"}  # of those that write one file


def words_of(name: str) -> tuple[list[str], list[str]]:
    """The words of a command without its output, and those that go on with a stopped run."""
    words = COMMANDS[name].split()
    again = [words.pop()] if words[-1] in ("--resume", "--force") else []
    return words, again


def out_of(name: str, stem: str) -> str:
    """The name of an output of a command, which no other command and no other stem has."""
    return f"{stem}-{''.join(x if x.isalnum() else '_' for x in name)}{SUFFIX.get(name, '')}"


def contents(path: Path) -> dict[str, bytes]:
    """The files of an output by name, without those that tell of time."""
    if path.is_file():
        return {"": path.read_bytes()}
    told = ("run.json", "times.csv", "train.tsv", "README.md", "seconds.csv", "genomes.tsv")
    files = [file for file in path.rglob("*") if file.is_file() and file.name not in told]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def differing(one: Path, other: Path) -> list[str]:
    """Names of files that are not the same in two outputs."""
    ours, theirs = contents(one), contents(other)
    return sorted(x for x in {*ours, *theirs} if ours.get(x) != theirs.get(x))


def remove(*paths: Path) -> None:
    for path in paths:
        for place in (path, path.with_name(path.name + ".partial")):
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)


def make_inputs(anew: bool = False) -> Path:
    """The folder that the commands run in, made once."""
    home = FOLDER / "inputs"
    if anew or not (home / WHOLE).exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        # in a process of its own: commands are forked from this one, and OpenMP's threads, once
        # started, would be waited for there without end
        maker = get_context("fork").Process(target=_make_files, args=(home,))
        maker.start()
        maker.join()
        assert maker.exitcode == 0
        for line in (
            f"scan genome.fa {MODEL} --tracks REST -o scanned",
            f"scan genome.fa {MODEL} --shard 1/2 -o shard1",
            f"scan genome.fa {MODEL} --shard 2/2 -o shard2",
            "attribute -g genome.fa -m model -b few.bed --device cpu -o attributed",
            "windows train set --epochs 1 --batch-size 64 --precision fp32 --device cpu --arch tcn"
            " -o window-model",
        ):
            process = Process([*line.split(), "-q"], home)
            text = process.wait()
            assert process.returncode == 0, f"tcnfast {line}: {text}"
        (home / WHOLE).touch()
    return home


def _make_files(home: Path) -> None:
    import torch
    from support.models import random_model
    from support.motif import planted_windows, write_attributions, write_known
    from support.scan import calling_model, random_letters, small_genome, write_fasta
    from support.study import planted_set

    genome = {**small_genome(), "chr1": random_letters(1_200_000, 5)}
    write_fasta(home / "genome.fa", genome)
    write_fasta(home / "small.fa", small_genome())
    (home / "genomes.tsv").write_text("name\tpath\none\tgenome.fa\ntwo\tsmall.fa\n")
    calling_model().save(home / "model")
    torch.manual_seed(4)
    random_model().save(home / "other")
    if find_spec("monai"):
        _write_wavelet(home / "wavelet")
    (home / "m.meme").write_text(
        "MEME version 4\n\nMOTIF X\nletter-probability matrix: alength= 4 w= 8\n"
        + "0.9 0.1 0 0\n0 1 0 0\n0 0 1 0\n0 0 0.2 0.8\n" * 2
    )
    second = "MOTIF Y\nletter-probability matrix: alength= 4 w= 4\n" + "0.1 0.1 0.1 0.7\n" * 4
    (home / "m2.meme").write_text((home / "m.meme").read_text() + "\n" + second)
    letters = bytes(genome["chr1"]).decode()
    _write_peaks(home, letters)
    first, _, _ = planted_windows("ONE@x", {"ONE": 1.0, "TWO": 1.0}, 160)
    write_attributions(home / "planted", first)
    write_known(home / "known.meme")
    sizes = {"train": 900, "valid": 300, "test": 400}
    planted_set(sizes=sizes).save(home / "set")
    recipe = {"name": "small", "labels": ["REST", "MAX@K562"], "min_peaks": 20}
    (home / "recipe.json").write_text(json.dumps(recipe))
    study = {
        "sets": {"set": {"windows": "set"}},
        "models": {"tcn": {"arch": "tcn", "shape": {"channels": 8, "blocks": 4}}},
        "grids": [{"sets": ["set"], "models": ["tcn"], "seeds": [0, 1]}],
        "training": {"epochs": 2, "batch_size": 64, "shift": 4, "precision": "fp32"},
        "tuning": {"set": "set", "learning_rates": [0.001, 0.01]},
        "reference": "tcn",
    }
    (home / "study.json").write_text(json.dumps(study))


def _write_wavelet(folder: Path) -> None:
    from tcnfast.windows.wavelet_network import WaveletNetwork
    from tcnfast.windows.window_run import save_window_model

    shape = {"depth": 18, "width": 4, "size": 64}
    network = WaveletNetwork(["CTCF@K562", "REST"], 200, **shape)
    how = {"arch": "wavelet", "mapping": "one-hot", "length": 200, "shape": shape}
    save_window_model(network, folder, how)


def _write_peaks(home: Path, letters: str) -> None:
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(0, 1_190_000, 3_000)).tolist()
    labels = ("CTCF@K562", "MAX@K562", "REST")
    rows = [f"chr1\t{x}\t{x + 300}\t{labels[i % 3]}\n" for i, x in enumerate(starts)]
    (home / "peaks.bed").write_text("#chrom\tstart\tend\tlabel\n" + "".join(rows))
    parts = {"train": "1-700000", "valid": "700001-950000", "test": "950001-1200000"}
    split = {part: [f"chr1:{span}"] for part, span in parts.items()}
    (home / "split.json").write_text(json.dumps(split))
    (home / "regions.bed").write_text("".join(f"chr1\t{x}\t{x + 1}\n" for x in starts[:16]))
    (home / "few.bed").write_text("".join(f"chr1\t{x}\t{x + 1}\n" for x in starts[:12]))
    alleles = [
        (f"{x + 1}", letters[x], "ACGT"["ACGT".index(letters[x]) - 1]) for x in sorted(set(starts))
    ]
    rows = [f"chr1\t{pos}\t{ref}\t{alt}\n" for pos, ref, alt in alleles]
    (home / "v.tsv").write_text("chrom\tpos\tref\talt\n" + "".join(rows))
    rows = [f"chr1\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in alleles]
    head = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (home / "v.vcf").write_text(head + "".join(rows))
