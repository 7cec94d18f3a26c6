"""Triton kernels of the dilated stack, installed as ``tcnfast.kernels``.

Nothing here knows a genome or a file. README.md beside this file holds the maths.
"""
