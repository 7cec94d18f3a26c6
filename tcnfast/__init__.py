"""tcnfast: transcription-factor binding from DNA with a temporal convolutional network.

The public names below are imported at first use, so that ``import tcnfast`` and ``tcnfast --help``
answer at once.
"""

from importlib import import_module

_HOME = {
    "TCN": "model",
    "TCNConfig": "model",
    "load_model": "model",
    "Plan": "plan",
    "Genome": "genome",
    "encode": "genome",
    "one_hot": "genome",
    "label_matrix": "labels",
    "TcnfastError": "errors",
    "scan": None,  # the module itself, which is callable
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'tcnfast' has no attribute {name!r}")
    home = _HOME[name]
    module = import_module(f".{home or name}", __name__)
    return getattr(module, name) if home else module


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
