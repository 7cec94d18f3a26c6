"""``python -m tcnfast.variants``."""

from ..cli import run_room

run_room(__package__)
