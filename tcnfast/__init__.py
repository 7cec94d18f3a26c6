"""tcnfast: transcription-factor binding from DNA with a temporal convolutional network.

The public names below are imported at first use, so that ``import tcnfast`` and ``tcnfast --help``
answer at once.
"""

from importlib import import_module

from . import cobind as cobind
from .attribute import attribute as attribute
from .base.version import __version__ as __version__
from .bench import bench as bench
from .bench import info as info
from .bench import labels as labels
from .bench import models as models
from .data import prepare as prepare
from .doctor import doctor as doctor
from .engines import named as _named
from .evaluate import evaluate as evaluate
from .export import export as export
from .genome import index as index
from .merge import merge as merge
from .motifs import convert as convert
from .motifs import motifs as motifs
from .report import report as report
from .scan import scan as scan
from .train import average as average
from .train import train as train
from .variants import variants as variants

_HOME = {
    "TCN": "model.tcn",
    "TCNConfig": "model.tcn_config",
    "load_model": "model.load_model",
    "ModelFolder": "model.model_folder",
    "Plan": "engines.plan",
    "Genome": "genome.genome",
    "encode": "genome.codes",
    "one_hot": "genome.codes",
    "label_matrix": "genome.labels",
    "TcnfastError": "base.errors",
}
_VERBS = [name for name, value in globals().items() if callable(value) and hasattr(value, "verb")]
__all__ = sorted(["cobind", *_VERBS, *_HOME])


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'tcnfast' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


_named.opener = lambda name: __getattr__("load_model")(name)  # of a Plan by name


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
