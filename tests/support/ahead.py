"""Triton kernels compiled ahead of time, for a chip that need not be there."""

import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.experimental.gluon._runtime import GluonASTSource
from triton.runtime.jit import JITFunction

from tcnfast.engines import triton_engine

TYPES = {
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.uint8: "*u8",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
# bytes of shared memory that a program may have (CUDA C programming guide, compute capabilities)
SHARED = {
    "sm_80": 166_912,
    "sm_89": 101_376,
    "sm_90": 232_448,
    "sm_100": 232_448,
    "sm_120": 101_376,
}
# of a launch, not of the kernel
OPTIONS = ("num_warps", "num_stages", "maxnreg", "enable_fp_fusion")
MULTIPROCESSORS = 132  # of an H100 and an H200
TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"  # that Triton brings along
ALIGNMENT = 16  # bytes: what Triton looks for in addresses, and a divisor in numbers


@contextmanager
def recorded(target, take):
    """Launches through Triton run nothing: ``take(kernel, arguments by name, options, grid)`` gets
    each, as on a ``target`` with MULTIPROCESSORS. Tensors need no memory ("meta")."""

    def record(kernel, *args, grid, warmup=False, **given):
        options = {name: given.pop(name) for name in OPTIONS if name in given}
        arguments = dict(zip(kernel.arg_names, args, strict=False)) | given
        take(kernel, arguments, options, grid)

    chip = triton_engine.Chip(MULTIPROCESSORS, SHARED[target], target == "sm_90")
    originals = JITFunction.run, vars(triton_engine.Chip)["of"]
    JITFunction.run, triton_engine.Chip.of = record, lambda device: chip
    try:
        yield
    finally:
        JITFunction.run, triton_engine.Chip.of = originals


def source_of(kernel, arguments, aligned=lambda tensor: True):
    """What Triton compiles for a launch with ``arguments`` by name, as its own launcher would:
    types, constants, and which addresses (those of tensors that are ``aligned``) and numbers are
    multiples of 16."""
    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        name, value = parameter.name, arguments.get(parameter.name)
        divisible = False
        if parameter.is_constexpr or value is None or (type(value) is int and value == 1):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
            divisible = aligned(value)
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            signature[name] = "i32" if value < 2**31 else "i64"
            divisible = value % ALIGNMENT == 0
        if divisible:
            attributes[(index,)] = [["tt.divisibility", ALIGNMENT]]
    kind = GluonASTSource if kernel.is_gluon() else ASTSource
    return kind(kernel, signature, constants, attributes)


def gpu(target):
    """``target`` ("sm_90") as Triton has it."""
    return GPUTarget("cuda", int(target.removeprefix("sm_")), 32)


def compile_to(stage, source, target, options):
    """Run Triton's compiler up to ``stage`` ("llir", "ptx"): the module of that stage, and Triton's
    metadata, whose "shared" is bytes of shared memory. No assembler runs."""
    from triton._C.libtriton import ir

    backend = make_backend(gpu(target))
    parsed = backend.parse_options(dict(options or {}, **source.parse_options()))
    stages, context, metadata = {}, ir.context(), {"target": gpu(target), **vars(parsed)}
    backend.add_stages(stages, parsed, source.language)
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions, modules = backend.get_codegen_implementation(parsed), backend.get_module_map()
    module = source.make_ir(gpu(target), parsed, functions, modules, context)
    for name, run in stages.items():
        module = run(module, metadata)
        if name == stage:
            return module, metadata
    raise ValueError(f"no stage {stage!r} among {', '.join(stages)}")


def cubin_of(kernel, arguments, target, options):
    """Machine code, and bytes of shared memory."""
    compiled = triton.compile(source_of(kernel, arguments), target=gpu(target), options=options)
    return compiled.asm["cubin"], compiled.metadata.shared


def run_tool(name, cubin, *flags):
    """What a program among TOOLS says of machine code."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [TOOLS / name, *flags, file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def registers_of(cubin):
    """Registers of a thread, and bytes of its stack, where registers that overflow go."""
    usage = run_tool("cuobjdump", cubin, "--dump-resource-usage")
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    return int(registers), int(stack)
