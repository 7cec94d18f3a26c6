"""The version, in the one place that says it: pyproject.toml reads it here, and
tests/base/test_release.py holds CITATION.cff, CHANGELOG.md and recipe/meta.yaml to it."""

__version__ = "0.1.0"
