"""The stack on the device that is here, ours beside PyTorch (cuDNN on a GPU), by pytest-benchmark:

    pytest benchmarks/kernels/bench_stack.py --benchmark-group-by=group

For a quick look and for comparing two commits (``--benchmark-autosave``, ``--benchmark-compare``).
Every side is checked against float64 before it is timed. pytest-benchmark times one side after the
other; rows of ``results`` come from ``cpu.py`` and ``device.py``, whose sides take turns.
"""

import pytest
import torch

from benchmarks.kernels.cases import Setting, Stack
from benchmarks.kernels.torch_stacks import EAGER, OURS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BASES = 2**24 if DEVICE.type == "cuda" else 2**17


@pytest.mark.parametrize("side", [OURS, *EAGER])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("form", ["dense", "pruned"])
def test_stack(benchmark, form, precision, side):
    """Codes in memory to logits, 64 channels, 8 blocks, every base or every 32nd."""
    case = Stack(Setting(DEVICE, precision), form, BASES)
    run = case.prepare(side)

    def once() -> None:
        run()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    benchmark.group = f"{case.words} {form} {precision} on {DEVICE}"
    benchmark.extra_info["bases"] = BASES
    benchmark.pedantic(once, rounds=5, warmup_rounds=1)
