"""``python -m tcnfast.motifs``."""

from ..cli import run_room

run_room(__package__)
