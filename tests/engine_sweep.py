"""Odd shapes on every instruction set of one build of the engine; see test_engine_builds.py.

    python engine_sweep.py BUILD

Runs in a process of its own, under sanitizers: it imports as little as it can. Nothing of the
package may have been imported before, so that BUILD becomes ``tcnfast._C``.
"""

import importlib.util
import os
import sys

import torch
from numerics import assert_close


def use_build(path):
    spec = importlib.util.spec_from_file_location("tcnfast._C", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["tcnfast._C"] = module


def shapes(Shape):
    return [
        Shape(1, 1, 1, 1, 1, 1, batch=3, steps=70),
        Shape(1, 2, 2, 2, 2, 2, rest=1),
        Shape(3, 3, 31, 2, 15, 4, "causal", "-", rest=2),
        Shape(4, 3, 3, 3, 16, 16, "centred", "both", batch=4, steps=7, rest=15),
        Shape(5, 4, 10, 4, 17, 8, "causal", batch=3, steps=33),
        Shape(17, 2, 2, 7, 33, 32, "centred", "-", batch=3, steps=9, rest=9),
        Shape(33, 6, 6, 3, 13, 64, "centred", "+", batch=1, steps=6, rest=5),
        Shape(40, 9, 9, 2, 112, 128, "causal", "+", batch=1, steps=3, rest=127),
        Shape(64, 3, 15, 5, 7, 32, "centred", "+", batch=2, steps=12),
    ]


def symmetric_shapes(Shape):
    """Of pairs of channels: odd numbers of pairs, every kind of tile, taps without a middle."""
    return [
        Shape(2, 1, 1, 2, 1, 1, rest=2),
        Shape(6, 4, 6, 3, 15, 4, batch=3, steps=41, rest=1),
        Shape(34, 3, 3, 3, 16, 2, batch=1, steps=20),
        Shape(96, 3, 19, 3, 17, 8, batch=1, steps=9),
    ]


# Blocks in training: odd channels and taps, ends that fit exactly, outputs left over, seams
TRAINED = [
    (0, 1, 2, 2, 1, "batch", "causal", 2, 30, 0, 0.3),
    (0, 4, 3, 15, 4, "weight", "centred", 1, 1),
    (0, 5, 3, 7, 2, "batch", "centred", 2, 600, 1),
    (1, 3, 4, 4, 2, "batch", "causal", 1, 41, 1, 0.3),
    (2, 5, 7, 7, 8, "batch", "centred", 7, 17, 1),
    (2, 4, 5, 5, 1, "weight", "causal", 1, 700),
    (3, 33, 2, 2, 1, "weight", "centred", 1, 9),
]
# Of pairs: odd halves, even kernels, one span and several
PAIRS = [
    (0, 34, 7, 19, 4, "batch", "centred", 2, 21),
    (0, 6, 3, 15, 1, "weight", "centred", 2, 600, 0, 0.3),
    (1, 6, 4, 4, 2, "batch", "centred", 2, 41, 1, 0.3),
    (2, 10, 5, 5, 8, "weight", "centred", 7, 17, 1),
    (2, 34, 2, 2, 4, "batch", "centred", 2, 60, 0, 0.3),
    (3, 4, 3, 3, 1, "batch", "centred", 1, 600),
]
COMPARED = (2, 17, 3, 3, 4, "batch", "causal", 7, 60, 1, 0.3)  # numbers enough to compare
COMPARED_PAIRS = (1, 18, 3, 3, 4, "batch", "centred", 2, 60, 1, 0.3)


def runs(isa, shape):
    """Chunks and threads: with emulated tiles, which compute 32 rows for one, not all of them."""
    small = isa != "amx" or shape.channels <= 3
    return [(0, 1), (64, 3), (1, 1), (7, 2)] if small else [(0, 1), (64, 3)]


def main(build):
    use_build(build)
    torch.set_num_threads(1)
    from support.block import compare, train_once
    from support.block_cases import Case
    from support.engine import ENGINES, Shape, expected, random_weights, score, symmetric_weights
    from support.substitution import SHAPES, check
    from truth import in_halved_form

    from tcnfast.engines import cpu_engine

    assert cpu_engine._C.__file__ == build
    for isa, precision in ENGINES:
        os.environ[cpu_engine.ISA_VARIABLE] = isa
        tried = [(shape, random_weights) for shape in shapes(Shape)]
        tried += [(shape, symmetric_weights) for shape in symmetric_shapes(Shape)]
        for shape, make in tried:
            weights, codes, want, pt = expected(shape, precision, make=make)
            if weights.symmetric:  # sums of inputs are rounded
                pt = in_halved_form(weights, shape.grid, codes, precision)
            outs = []
            for chunk, threads in runs(isa, shape):
                torch.set_num_threads(threads)
                tried_lists = [
                    score(weights, shape.grid, codes, precision, shape.strand, **options)
                    for options in ({"chunk": chunk, "lists": lists} for lists in (False, True))
                ]
                outs.append(torch.stack(tried_lists))
                torch.set_num_threads(1)
            try:
                for out in outs[0]:
                    assert_close(out, want, pt)
                assert all(torch.equal(out, outs[0]) for out in outs), "bits depend on the chunk"
                same = make is symmetric_weights or torch.equal(*outs[0])
                assert same, "bits depend on lists"
            except AssertionError as error:
                raise SystemExit(f"{isa} {precision} {shape}: {error}") from None
        for case in (Case(*COMPARED), Case(*COMPARED_PAIRS)._replace(symmetric=True)):
            try:
                compare(case, precision)
            except AssertionError as error:
                raise SystemExit(f"{isa} {precision} {case}: {error}") from None
        for case in (*TRAINED, *PAIRS):
            train_once(Case(*case)._replace(symmetric=case in PAIRS), precision)
        for shape in SHAPES if precision == "fp32" else ():
            check(shape, n=12)
            check(shape, active=3.0, n=6)
        print(isa, precision)


if __name__ == "__main__":
    main(*sys.argv[1:])
