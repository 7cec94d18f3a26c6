"""What runs in a worker (worker.py): the project's kernels in the executor, compared with the
float64 reference. Everything that goes in and out is JSON."""

import re

import numpy as np
import torch
from support import block, block_cases, stack
from support.models import random_model
from support.triton import few_draws

from tcnfast.engines import triton_engine, triton_head, triton_walk

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


def training(case, precision, target, planted=None, cut=True, in_registers=True, few=False):
    """A ``block_cases.Case``: outputs, statistics and every gradient; of ``few`` draws."""
    case = block_cases.Case(*case)
    triton_walk.IN_REGISTERS = in_registers
    draws = 1 if planted else few_draws(case) if few else None
    return run(lambda: block.compare(case, precision, draws=draws), target, planted, cut)


symmetric_training = walks = training  # of cases that say so


def hits(labels, precision, target, stacks=2, maximum=False, symmetric=False, planted=None):
    """Hits and tracks of made-up features, against those of the logits that the head gives."""
    channels, steps = 34, 200

    def check():
        model = random_model(
            [str(i) for i in range(labels)], channels=channels, symmetric=symmetric
        )
        weights, grid = model.folded(), model.config.grid(4)
        run = triton_engine.prepare(weights, grid, precision, CPU)
        head, dtype = run.head, run.head.matrix.dtype
        width = len(head.matrix) * (1 + head.pairs)
        size = 2, (steps - 1) * head.sample + 1, width
        rows = [torch.randn(size).relu_().to(dtype) for _ in range(stacks)]
        logits = head(rows[0], steps)
        if stacks == 2:
            other = head(rows[1], steps)
            logits = torch.maximum(logits, other) if maximum else logits.add_(other).div_(2)
        unknown = torch.zeros(2, steps, dtype=torch.bool)
        unknown[0, 60:130] = unknown[1, ::7] = True
        logits = logits.masked_fill_(unknown[..., None], torch.nan)
        cutoffs = logits.flatten(0, 1).nan_to_num(-9).sort(0).values[steps * 9 // 5].numpy()  # ties
        cutoffs[1::2] = np.nextafter(cutoffs[1::2], np.float32(np.inf))
        columns = np.array([labels - 1])
        finder = triton_head.HitHead([head] * stacks, maximum, cutoffs, columns)
        counted = finder.count(rows, unknown)
        assert torch.equal(counted.tracks[..., 0].nan_to_num(99), logits[..., -1].nan_to_num(99))
        for n, one in enumerate(logits):
            parts = [finder.write(counted, n, *part) for part in ((0, 64), (64, steps))]
            places, values = (torch.cat(part) for part in zip(*parts, strict=True))
            want = (one >= torch.from_numpy(cutoffs)).flatten().nonzero()[:, 0]
            assert len(want) and torch.equal(places, want), "places differ"
            assert torch.equal(values, one.flatten()[want]), "values differ"

    return run(check, target, planted)
