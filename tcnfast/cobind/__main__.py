"""``python -m tcnfast.cobind``."""

from ..cli import run_room

run_room(__package__)
