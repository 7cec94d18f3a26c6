"""A scan on one and on two local workers of Ray, one thread each, and Ray's start-up apart.

    python -m benchmarks.scan.cluster [--mb 64] [--rounds 3]

The genome is random letters, 16 Mb a stretch. ``start_s``: until the first worker is ready;
``scan_s``: from then until the last receipt, by the clock. ``worker_cpu_s``: seconds of the
processor that the busiest worker took for its stretches. ``speedup_clock`` and ``speedup_cpu`` are
those of one worker over those of this row; the second is what an otherwise idle machine could show
at most, and the one to read where other programs run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import tcnfast
from benchmarks.harness import append
from tcnfast.scan import ray_engine


class Watched(ray_engine.RayEngine):
    """Notes when its workers are ready, and the processor's seconds that each took since."""

    def start(self) -> None:
        self.began, self.ready, self.used = time.monotonic(), None, {}
        super().start()

    def _answer(self, worker, unit, call):
        yield from super()._answer(worker, unit, call)
        self.last = time.monotonic()
        if unit is None:
            self.ready = self.ready or self.last
            self.used[worker] = -self._cpu(worker)

    def _cpu(self, worker: str) -> float:
        process = self._places[worker].rpartition("process ")[2].rstrip(": ")
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        seen.update(
            start_s=self.ready - self.began,
            scan_s=self.last - self.ready,
            worker_cpu_s=max(used + self._cpu(worker) for worker, used in self.used.items()),
        )
        super().close()


seen: dict[str, float] = {}


def measured(fasta: Path, workers: int, folder: Path) -> dict[str, float]:
    out = folder / "scan"
    options = dict(cluster="ray", workers=workers, device="cpu", no_page=True, force=out.exists())
    tcnfast.scan(fasta, out=out, **options)
    return dict(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    from tcnfast.scan import scan_genome

    scan_genome.RayEngine = Watched
    with tempfile.TemporaryDirectory() as name:
        fasta = Path(name) / "x.fa"
        letters = np.frombuffer(b"ACGT", np.uint8)
        codes = np.random.default_rng(0).integers(0, 4, args.mb * 2**20)
        fasta.write_bytes(b">chr1\n" + letters[codes].tobytes() + b"\n")
        runs: dict[int, list] = {1: [], 2: []}
        for _ in range(args.rounds):
            for workers, found in runs.items():
                found.append(measured(fasta, workers, Path(name)))
    rows = []
    for workers, found in runs.items():
        row = {key: statistics.median(run[key] for run in found) for key in found[0]}
        one = rows[0] if rows else {"scan_s": row["scan_s"], "worker_cpu_s": row["worker_cpu_s"]}
        row["speedup_clock"] = one["scan_s"] / row["scan_s"]
        row["speedup_cpu"] = one["worker_cpu_s"] / row["worker_cpu_s"]
        rows.append({"workers": workers, **row})
        print(rows[-1])
    rows = [{k: round(v, 3) if isinstance(v, float) else v for k, v in x.items()} for x in rows]
    append("scan_cluster", f"{args.mb} Mb, median of {args.rounds}", rows)


if __name__ == "__main__":
    main()
