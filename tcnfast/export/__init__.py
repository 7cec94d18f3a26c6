"""A model for other runtimes: the verb ``export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.options import Options, Run, strand_option, stride_option
from ..base.verb import File, Input, verb

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.tcn import TCN

MODEL = Input("model", "model folder or bundled name", unit="MODEL")
ONNX = Input("out", "the file to write", ("-o", "--output"), unit="ONNX")


@dataclass(frozen=True)
class ExportOptions(Options):
    """What the graph computes."""

    stride: int = stride_option()
    strand: str = strand_option(maximum=False)


@verb(
    "write a model as ONNX, norms folded and grids pruned, for other runtimes",
    MODEL,
    ONNX,
    options=ExportOptions,
    run=("force",),
    examples=(
        ("encode-v2 -o encode-v2.onnx", "the bundled model, both strands, a score every 32 bp"),
        ("model --stride 1 --strand + -o dense.onnx", "every base of the strand that is given"),
    ),
)
def export(
    model: TCN | Ensemble | File,
    out: File = "model.onnx",
    *,
    options: ExportOptions,
    run: Run,
) -> Path:
    """Write a model as one ONNX graph that scores as ``tcnfast.Plan`` does.

    Its input ``codes`` is uint8 (batch, bases): A 0, C 1, G 2, T 3, N 4; at least a receptive field
    of bases. Its output ``logits`` is float32 (batch, (bases - receptive field) // stride + 1,
    labels). Both sizes are free. The metadata of the file holds the labels, one a line, the
    receptive field and the stride in bp, and the strand. The numbers are those of the fp32 plan but
    for the order in which a runtime adds.

    Returns:
        Path: the file.

    Raises:
        TcnfastError: for bad input, for a file that exists already, unless ``force``, and where the
            package onnx is not installed.
    """
    from .onnx_file import write_onnx

    return write_onnx(model, out, options, run)
