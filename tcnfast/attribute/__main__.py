"""``python -m tcnfast.attribute``."""

from ..cli import run_room

run_room(__package__)
