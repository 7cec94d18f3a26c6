"""``python -m tcnfast.scan``."""

from ..cli import run_room

run_room(__package__)
