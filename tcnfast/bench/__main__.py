"""``python -m tcnfast.bench``."""

from ..cli import run_room

run_room(__package__)
