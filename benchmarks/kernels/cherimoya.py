"""encode-v1 beside Cherimoya, a network of another kind: `python -m benchmarks.kernels.cherimoya`.

Cherimoya (PyPI, MIT; `pip install cherimoya`) has depthwise dilated convolutions, a norm over the
window and an MLP in each of 9 blocks, 128 channels, random weights here. The same bases, one-hot or
codes in memory, both strands, PyTorch's number of threads. What differs, and is not made equal:

- Cherimoya's model has one label: a profile at every base and a count of the window. Ours has 112
  labels, at every 32nd base or at every base. So seconds are given a base and a base and label.
- its scores depend on the window, because its norm goes over it: windows of 2,114 bases give
  profiles of the middle 1,000 and overlap. Ours do not, and nothing is computed twice.
- its kernels are for GPUs; on the processor it is PyTorch, eager or compiled.

Rows go to results/cherimoya.csv, unless `--dry`.
"""

from __future__ import annotations

from importlib.metadata import version

import torch
from cherimoya import Cherimoya
from torch import Tensor

import tcnfast
from benchmarks.harness import append, compare, parser, show
from tcnfast.engines import cpu_engine
from tcnfast.engines.plan import Plan
from tcnfast.engines.reference import DTYPES

WINDOW, PROFILE = 2114, 1000  # of Cherimoya, bases
BATCH = 8  # windows; of 1, 8 and 32 the fastest here
BASES = 2**17  # of ours
SIDES = ("Cherimoya eager", "Cherimoya torch.compile")


def cherimoya(compiled: bool, precision: str):
    """Both strands of a batch of windows."""
    model = Cherimoya(compile=compiled, compile_mode="default", random_state=0).eval()
    codes = torch.randint(0, 4, (BATCH, WINDOW))
    one_hot = torch.eye(4)[codes].transpose(1, 2).contiguous()

    def run() -> list[Tensor]:
        bf16 = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with torch.inference_mode(), bf16:
            return [model(x)[0] for x in (one_hot, one_hot.flip(1, 2))]

    return run


def ours(model, stride: int, precision: str):
    plan = Plan(model, "cpu", precision, stride, strand="both")
    codes = torch.randint(0, 4, (BASES + model.receptive_field - stride,), dtype=torch.uint8)
    return lambda: plan(codes)


def main() -> None:
    flags = parser(__doc__, rounds=7)
    args = flags.parse_args()
    model = tcnfast.load_model("encode-v1").eval()
    labels = len(model.labels)
    for precision in ("fp32", "bf16"):
        if cpu_engine.why_not(precision):
            continue
        sides = {name: cherimoya(name == SIDES[1], precision) for name in SIDES}
        strides = {f"encode-v1, stride {stride}": stride for stride in (32, 1)}
        sides |= {name: ours(model, stride, precision) for name, stride in strides.items()}
        _, medians = compare(sides, args.rounds)
        rows = []
        for side, seconds in medians.items():
            peer = side in SIDES
            bases, count = (BATCH * PROFILE, 1) if peer else (BASES, labels)
            ns = 1e9 * seconds / bases
            rows.append(
                {
                    "side": side,
                    "precision": str(DTYPES[precision]).removeprefix("torch."),
                    "labels": count,
                    "ns_a_base": f"{ns:.4g}",
                    "ns_a_base_and_label": f"{ns / count:.4g}",
                }
            )
        show(rows)
        if not args.dry:
            case = (
                f"both strands, {torch.get_num_threads()} threads, cherimoya {version('cherimoya')}"
            )
            append("cherimoya", case, rows)


if __name__ == "__main__":
    main()
