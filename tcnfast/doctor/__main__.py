"""``python -m tcnfast.doctor``."""

from ..cli import run_room

run_room(__package__)
