"""``python -m tcnfast.merge``."""

from ..cli import run_room

run_room(__package__)
