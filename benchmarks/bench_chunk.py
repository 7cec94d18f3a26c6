"""What CHUNK_BYTES of csrc/cpu/stream.h was tuned on: `pytest -q benchmarks/bench_chunk.py`.

Seconds for 2^18 bases on one thread, by positions that pass through all layers at once.
"""

from statistics import median
from time import perf_counter

import pytest
import torch
from record import record

from tcnfast.engines import cpu_engine
from tcnfast.model.tcn import TCN, TCNConfig

CHUNKS = [448, 896, 1792, 3584, 7168, 14336]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stride", [1, 32])
def test_chunk(benchmark, stride, precision):
    if reason := cpu_engine.why_not(precision):
        pytest.skip(reason)
    torch.manual_seed(0)
    model = TCN(TCNConfig(labels=["a"], first_kernel=15)).eval()
    grid = model.config.grid(stride)
    bases = 2**18 if stride > 1 else 2**15
    codes = torch.randint(0, 4, (1, bases + model.receptive_field - stride), dtype=torch.uint8)
    runs = {c: cpu_engine.prepare(model.folded(), grid, precision, chunk=c) for c in CHUNKS}
    seconds = {chunk: [] for chunk in CHUNKS}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def round_of_all():
        for chunk, run in runs.items():
            start = perf_counter()
            run(codes)
            seconds[chunk].append((perf_counter() - start) * 2**18 / bases)

    try:
        benchmark.pedantic(round_of_all, rounds=7, warmup_rounds=1)
    finally:
        torch.set_num_threads(threads)
    medians = {f"{chunk} positions": median(times[1:]) for chunk, times in seconds.items()}
    case = f"2^18 bp, s={stride}, {precision}, one thread"
    record("chunk", case, medians, f"{CHUNKS[0]} positions")
