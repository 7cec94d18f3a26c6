"""``python -m tcnfast.export``."""

from ..cli import run_room

run_room(__package__)
