"""``python -m tcnfast.report``."""

from ..cli import run_room

run_room(__package__)
