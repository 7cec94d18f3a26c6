"""The wing of window sets: other networks than TCNs on windows of one length, and their study.

``tcnfast windows prepare|train|evaluate|study|attribute``. Nothing outside imports from here but
the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..attribute.site_options import SiteOptions
from ..base.options import Run, names, option
from ..base.verb import GENOME, MODEL, OUT, verb

if TYPE_CHECKING:
    from ..attribute.attribute_run import AttributeResult


@dataclass(frozen=True)
class GradCamOptions(SiteOptions):
    """Of ``windows attribute``."""

    layers: tuple[str, ...] = option(
        (), "as layer4.2 or layer3; of several, the mean (default: the last block)", kind=names
    )


@verb(
    "Grad-CAM of a wavelet network, on the bases",
    GENOME,
    MODEL,
    OUT,
    options=GradCamOptions,
    run=("device", "force", "resume"),
    command="windows attribute",
)
def attribute(genome, model, out, *, options: GradCamOptions, run: Run) -> AttributeResult:
    """Explain the wavelet network in the folder ``model`` and write the folder ``out``, in the form
    of ``tcnfast attribute``. Raises TcnfastError for bad input and for any other network."""
    from .grad_cam import explain_by_grad_cam

    return explain_by_grad_cam(genome, model, out, options, run)
