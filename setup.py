"""Where the packages lie; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["tcnfast", "tcnfast.*"]) + ["tcnfast.kernels"],
    package_dir={"tcnfast.kernels": "kernels"},
    package_data={"tcnfast": ["models/*/*"], "tcnfast.kernels": ["README.md"]},
)
