"""``python -m tcnfast.evaluate``."""

from ..cli import run_room

run_room(__package__)
