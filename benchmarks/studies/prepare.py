"""``tcnfast prepare`` of all 135 peak sets on chr20 and chrX, and opening what it wrote:
`python -m benchmarks.studies.prepare --data ../shared/data`. Each run is a process of its own."""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import append
from tcnfast.data.source import open_source

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3


def command(data: Path, out: Path) -> list[str]:
    peaks = data / "peaks"
    conservative, published, relaxed, blacklist = (
        str(peaks / f"{name}.hg19.chr20_X.bed.gz")
        for name in (
            "dream_conservative", "precisetad_gm12878_26tf", "dream_relaxed", "blacklist")
    )  # fmt: skip
    genomes = [str(data / f"genome/hg19.{name}.fa.gz") for name in ("chr20", "chrX.first70M")]
    split = str(ROOT / "examples/encode-v1.split.json")
    return [
        sys.executable, "-m", "tcnfast.cli", "prepare", "-g", *genomes, "--peaks", conservative,
        published, "--ambiguous", relaxed, "--blacklist", blacklist, "--split", split, "--report",
        "--force", "-q", "-o", str(out),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    wall, processor, opening = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "data"
        for _ in range(ROUNDS):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command(data, out), check=True, capture_output=True)
            wall.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            start = time.perf_counter()
            with open_source(data=str(out)):
                opening.append(time.perf_counter() - start)
        size = sum(path.stat().st_size for path in out.iterdir())
    row = {
        "wall_s": f"{statistics.median(wall):.3g}",
        "processor_s": f"{statistics.median(processor):.3g}",
        "open_s": f"{statistics.median(opening):.3g}",
        "folder_mb": f"{size / 1e6:.1f}",
    }
    print(row)
    append("prepare", "135 peak sets (434,367 peaks), 133 Mb, with --report", [row])


if __name__ == "__main__":
    main()
