"""Registers, spills and shared memory of the kernels that the default model launches, plain
and symmetric, compiled ahead of time: no GPU is needed.

    python tests/kernel_resources.py sm_80 sm_90 --write   # into tests/kernel_resources.tsv
    python tests/kernel_resources.py sm_80 sm_90 --write --only '.*hits'   # of these kernels alone
    python tests/kernel_resources.py sm_89 sm_100 sm_120   # print only: `make aot`

The launches are recorded, not listed: the model runs on tensors without memory ("meta"), and each
kernel is compiled with the types and constants that it would have been launched with.
"""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import triton
from support.ahead import SHARED, cubin_of, recorded, registers_of

from tcnfast.engines import ops, triton_blocks, triton_engine, triton_walk
from tcnfast.engines.block_call import BlockCall, BlockGradients
from tcnfast.engines.triton_head import HitHead
from tcnfast.model.tcn import TCN, TCNConfig

VERSION = ".".join(triton.__version__.split(".")[:2])
TABLE = Path(__file__).with_name("kernel_resources.tsv")
COLUMNS = ("triton", "target", "kernel", "variant", "registers", "spilled", "shared")
LENGTH = 100_003  # bases, of no special form


def launches(target):
    """(kernel, arguments by name, options) of everything that the default model launches there."""
    seen = []
    with recorded(target, lambda *launch: seen.append(launch[:3])):
        for symmetric in (False, True):
            for in_registers in (True, False):
                with mock.patch.object(triton_engine, "IN_REGISTERS", in_registers):
                    infer(symmetric)
                with mock.patch.object(triton_walk, "IN_REGISTERS", in_registers):
                    train(symmetric)
    return seen


def infer(symmetric):
    """Default model, sparse and dense; or as if its weights were those of pairs of channels."""
    model = TCN(TCNConfig(labels=[f"label{i}" for i in range(119)], first_kernel=15)).eval()
    codes = torch.empty(2, LENGTH, dtype=torch.uint8, device="meta")
    for stride in (32, 1):
        grid = model.config.grid(stride)
        weights = replace(model.folded(), symmetric=symmetric).to("meta", torch.float32)
        stack = triton_engine.prepare(weights, grid, "bf16", codes.device)
        stack(codes)
        find_hits(stack, codes, 1 if symmetric else 2)


def find_hits(stack, codes, strands):
    """Hits and one track, as a scan of both strands finds them."""
    rows = [stack.rows(codes)] * strands
    unknown = torch.empty(2, stack.grid.n_scores(codes.shape[1]), dtype=torch.bool, device="meta")
    labels = stack.head.labels
    heads, cutoffs, tracked = [stack.head] * strands, np.zeros(labels, np.float32), np.array([0])
    hits = HitHead(heads, maximum=False, cutoffs=cutoffs, columns=tracked)
    counted = hits.count(rows, unknown)
    known = torch.Tensor.nonzero, torch.Tensor.item
    torch.Tensor.nonzero, torch.Tensor.item = lambda x: x[:, None], lambda _: 1000
    try:
        hits.write(counted, 0, 0, unknown.shape[1])
    finally:
        torch.Tensor.nonzero, torch.Tensor.item = known


def train(symmetric):
    """One step of it, blocks with and without what differs between them."""
    model = TCN(TCNConfig(labels=["a"], first_kernel=15, dropout=0.1)).to("meta")
    grid = model.config.grid(32)
    x = torch.empty(8, 32_768, dtype=torch.uint8, device="meta")
    for block, geometry in zip(model.blocks, grid.blocks, strict=True):
        c = len(block.conv1.weight)
        mask = torch.empty(8, c, device="meta")
        vector = torch.empty(c, device="meta")
        call = BlockCall(
            x=x,
            weight1=block.conv1.weight.detach(),
            weight2=block.conv2.weight.detach(),
            gain1=vector,
            shift1=vector,
            gain2=vector,
            shift2=vector,
            mask1=mask,
            mask2=mask,
            code_residual=torch.empty(5, c, device="meta") if x.dtype == torch.uint8 else None,
            dilation=geometry.dilation,
            stride=geometry.stride,
            tap=block.tap // geometry.grid_in,
            eps=1e-5,
            precision="bf16",
            symmetric=symmetric,
        )
        saved = ops.outputs_of(call, triton_blocks)
        triton_blocks.forward(call, saved)
        gradients = (g if g.numel() else None for g in ops.empty_gradients(call))
        triton_blocks.backward(saved.y, call, saved, BlockGradients(*gradients))
        x = saved.y


def compile_for(target, kernel, arguments, options):
    """Registers, bytes spilled and bytes of shared memory."""
    cubin, shared = cubin_of(kernel, arguments, target, options)
    return *registers_of(cubin), shared


def variant(kernel, arguments):
    """The constants that tell variants of a kernel apart, in words."""
    words = []
    for parameter in kernel.params:
        value = arguments.get(parameter.name)
        if parameter.is_constexpr and type(value) is bool:
            words += [parameter.name] if value else []
        elif parameter.is_constexpr and type(value) is int:
            words.append(f"{parameter.name}={value}")
        elif not parameter.is_constexpr and type(value) is int and value == 1:
            words.append(f"{parameter.name}=1")
    return " ".join(words)


def rows(target, only=".*"):
    """Rows of the table: one for each variant of each kernel of a name."""
    found = {}
    for kernel, arguments, options in launches(target):
        key = kernel.__name__, variant(kernel, arguments)
        if key not in found and re.fullmatch(only, key[0]):
            found[key] = compile_for(target, kernel, arguments, options)
    head = VERSION, target
    return [(*head, *key, *map(str, usage)) for key, usage in sorted(found.items())]


def read_table():
    """Rows of the table, as ``rows`` gives them, of every version of Triton it knows."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    return [tuple(line.split("\t")) for line in lines[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="+", choices=list(SHARED))
    parser.add_argument("--write", action="store_true", help=f"to {TABLE.name}")
    parser.add_argument("--only", default=".*", metavar="REGEX", help="names of kernels")
    args = parser.parse_args()
    found = [row for target in args.targets for row in rows(target, args.only)]
    if args.write:
        told = {(VERSION, target) for target in args.targets}
        kept = [
            row
            for row in read_table()
            if row[:2] not in told or not re.fullmatch(args.only, row[2])
        ]
        TABLE.write_text(_text(sorted(kept + found)))
    sys.stdout.write(_text(found))


def _text(table):
    return "".join("\t".join(row) + "\n" for row in (COLUMNS, *table))


if __name__ == "__main__":
    main()
