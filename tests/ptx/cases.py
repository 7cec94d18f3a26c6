"""What runs in a worker (worker.py): the project's kernels in the executor, compared with the
float64 reference. Everything that goes in and out is JSON."""

import re

import numpy as np
import torch
from support import block, stack

from tcnfast.engines import triton_engine

from .on_triton import executed
from .program import Fault

CPU = torch.device("cpu")


def make_codes(*shape):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, shape, np.uint8)
    codes[rng.random(shape) < 0.05] = 4
    return torch.from_numpy(codes)


def plant(kernel, pattern, replacement="", which=0):
    """An edit of PTX: of the matches of ``pattern`` in ``kernel`` number ``which`` is replaced."""

    def edit(name, text):
        if name != kernel:
            return text
        matches = list(re.finditer(pattern, text))
        if not matches:
            raise ValueError(f"{kernel} has no {pattern}")
        match = matches[which]
        return text[: match.start()] + match.expand(replacement) + text[match.end() :]

    return edit


def run(check, target, planted=None, cut=True):
    """``check()`` in the executor: what it raised ("wrong", "fault"), what was found, and which
    kernels ran."""
    wrong = fault = None
    edit = plant(**planted) if planted else None
    with executed(target, edit=edit, cut=cut) as executor:
        try:
            check()
        except Fault as error:
            fault = str(error)
        except AssertionError as error:
            wrong = str(error)
    findings = [[*what, n] for what, n in sorted(executor.findings.items())]
    return dict(wrong=wrong, fault=fault, findings=findings, kernels=sorted(set(executor.kernels)))


def scores(
    case, precision, target, strand="+", planted=None, cut=True, symmetric=False, in_registers=True
):
    """A row of ``stack.TABLE``, or of ``stack.SYMMETRIC``. ``in_registers``: as the engine has
    it."""
    triton_engine.row_steps = lambda *_: stack.ROW_STEPS
    triton_engine.IN_REGISTERS = in_registers

    def check():
        stack.check_scores(case, precision, strand, make_codes, CPU, symmetric=symmetric)

    return run(check, target, planted, cut)


def symmetric_scores(case, precision, target, **options):
    """A row of ``stack.SYMMETRIC``."""
    return scores(case, precision, target, symmetric=True, **options)


def training(case, precision, target, planted=None, cut=True):
    """A ``block.Case``: outputs, statistics and every gradient."""
    case = block.Case(*case)
    return run(lambda: block.compare(case, precision), target, planted, cut)


symmetric_training = training  # of cases that say so
