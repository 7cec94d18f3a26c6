"""``python -m tcnfast.train``."""

from ..cli import run_room

run_room(__package__)
