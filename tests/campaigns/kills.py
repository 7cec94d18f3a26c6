"""`python tests/campaigns/kills.py [KILLS] [SEED]`: every command that writes a folder, killed at
moments drawn by chance by SIGKILL or SIGTERM, gone on with (--resume, or --force where it cannot
be), and compared with an undisturbed run.

Prints, per command, kills, runs that were over before, results that differ, processes that were
left behind, files that were left in TMPDIR, and tracebacks. Ends with 1 where any of the last four
is not 0. pytest does not collect it.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.scan import calling_model, random_letters, small_genome, write_fasta  # noqa: E402

PATIENCE = 600  # seconds that a run may take
TIMES = ("run.json", "times.csv", "train.tsv", "README.md")  # tell of time
QUICK = "--channels 8 --blocks 3 --steps 60 --epoch-steps 10 --batch-size 16 --min-peaks 10"


def main(kills: int = 40, seed: int = 0) -> int:
    draws, bad = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        make_inputs(home)
        print("command\tkills\tover before\tdiffer\torphans\ttemporary\ttracebacks", flush=True)
        names = list(COMMANDS)
        counts = {
            name: kills // len(names) + (i < kills % len(names)) for i, name in enumerate(names)
        }
        for name, words in COMMANDS.items():
            found = campaign(home, name, words.split(), counts[name], draws)
            bad += sum(found[2:])
            print(name, *found, sep="\t", flush=True)
    return int(bad > 0)


COMMANDS = {
    "scan": "scan genome.fa -m model --tracks REST --precision fp32 --device cpu --resume",
    "scan --devices": "scan genome.fa -m model --devices cpu,cpu --precision fp32 --resume",
    "scan --motifs": "scan genome.fa --motifs m.meme --p-value 1e-3 --resume",
    "prepare": "prepare -g genome.fa --peaks peaks.bed --split split.json --force",
    "train": f"train -g genome.fa --peaks peaks.bed --split split.json {QUICK} --precision fp32 "
    "--device cpu --threads 1 --resume",
    "evaluate": "evaluate -g genome.fa --peaks peaks.bed --split split.json -m model --device cpu "
    "--precision fp32 --force",
    "attribute": "attribute -g genome.fa -m model -b regions.bed --device cpu --threads 1 --resume",
    "variants": "variants v.tsv -g genome.fa -m model --device cpu --resume",
}


def make_inputs(home: Path) -> None:
    genome = {**small_genome(), "chr1": random_letters(3_000_000, 5)}
    write_fasta(home / "genome.fa", genome)
    calling_model().save(home / "model")
    (home / "m.meme").write_text(
        "MEME version 4\n\nMOTIF X\nletter-probability matrix: alength= 4 w= 8\n"
        + "0.9 0.1 0 0\n0 1 0 0\n0 0 1 0\n0 0 0.2 0.8\n" * 2
    )
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(0, 2_990_000, 6_000)).tolist()
    labels = ("CTCF@K562", "MAX@K562", "REST")
    rows = [f"chr1\t{x}\t{x + 300}\t{labels[i % 3]}\n" for i, x in enumerate(starts)]
    (home / "peaks.bed").write_text("#chrom\tstart\tend\tlabel\n" + "".join(rows))
    parts = {"train": "1-2000000", "valid": "2000001-2500000", "test": "2500001-3000000"}
    split = {part: [f"chr1:{span}"] for part, span in parts.items()}
    (home / "split.json").write_text(json.dumps(split))
    (home / "regions.bed").write_text("".join(f"chr1\t{x}\t{x + 1}\n" for x in starts[:2_000]))
    letters = bytes(genome["chr1"]).decode()
    lines = [
        f"chr1\t{x + 1}\t{letters[x]}\t{'ACGT'['ACGT'.index(letters[x]) - 1]}\n" for x in starts
    ]
    (home / "v.tsv").write_text("chrom\tpos\tref\talt\n" + "".join(lines))


def campaign(home: Path, name: str, words: list[str], kills: int, draws) -> list[int]:
    """Kills, runs that were over before, and the faults."""
    go_on = words[-1]
    temporary, out, whole = home / "tmp", home / "out", home / "whole"
    temporary.mkdir(exist_ok=True)
    marker = f"TCNFAST_CAMPAIGN={home.name}-{name}"
    environment = {**os.environ, "TMPDIR": str(temporary), **dict([marker.split("=")])}

    def start(folder: Path, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "tcnfast", *words[:-1], "-o", str(folder), "-q", *more]
        return subprocess.Popen(
            command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    began = time.monotonic()
    process = start(whole)
    text = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, text
    length = time.monotonic() - began
    done = over = differ = orphans = tracebacks = 0
    while done < kills:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(out.with_name("out.partial"), ignore_errors=True)
        first = True
        for _ in range(1 + draws.randrange(3)):  # several times before it may end
            process = start(out, *([] if first else [go_on]))
            first = False
            time.sleep(length * draws.random())
            if process.poll() is None:
                process.send_signal(draws.choice([signal.SIGKILL, signal.SIGTERM]))
                done += 1
            else:
                over += 1
            text = process.communicate(timeout=PATIENCE)[0].decode()
            tracebacks += "Traceback" in text or "a defect of" in text
            orphans += left_behind(marker)
            if process.returncode == 0:
                break
        process = start(out, go_on)
        text = process.communicate(timeout=PATIENCE)[0].decode()
        tracebacks += "Traceback" in text or process.returncode != 0
        differ += contents(out) != contents(whole)
        if process.returncode or contents(out) != contents(whole):
            print(f"{name}: {text}", file=sys.stderr)
    left = sorted(path.name for path in temporary.iterdir())
    if left:
        print(f"{name}: left in TMPDIR: {left}", file=sys.stderr)
    shutil.rmtree(temporary)
    shutil.rmtree(whole)
    return [done, over, differ, orphans, len(left), tracebacks]


def left_behind(marker: str, patience: float = 10.0) -> int:
    """Processes with the marker in their environment that do not end; they are ended then."""
    deadline = time.monotonic() + patience
    while found := marked(marker):
        if time.monotonic() > deadline:
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            return len(found)
        time.sleep(0.05)
    return 0


def marked(marker: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and marker.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
