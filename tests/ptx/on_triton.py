"""What the project launches through Triton, on tensors in host memory: compiled for a chip, and run
by the executor."""

from collections import Counter
from contextlib import contextmanager

import torch
from support import ahead
from triton.runtime.jit import JITFunction

from tcnfast.engines import triton_engine

from .global_memory import GlobalMemory
from .launch import launch
from .program import Program

MULTIPROCESSORS = 132
COMPILED = {}  # programs by what they were compiled for


class Executor:
    """``findings`` (kernel, kind, instruction) and ``counts`` (kernel, instruction) of all launches
    so far, ``kernels`` the names of those that ran. ``edit(name, text)`` gives the PTX that is run
    for that which Triton made: to plant errors."""

    def __init__(self, target, edit=None, cut=True):
        self.target, self.edit, self.cut = target, edit, cut
        self.findings, self.counts, self.kernels = Counter(), Counter(), []

    def run(self, kernel, *args, grid, warmup=False, **given):
        """In the place of ``JITFunction.run``."""
        options = {name: given.pop(name) for name in ahead.OPTIONS if name in given}
        arguments = dict(zip(kernel.arg_names, args, strict=False)) | given
        program, shared, names = self._compiled(kernel, arguments, options)
        memory, storages = GlobalMemory(), {}
        values = [self._value(arguments[name], memory, storages) for name in names]
        ran = launch(program, values, grid, shared, memory=memory, cut=self.cut)
        name = kernel.__name__
        self.kernels.append(name)
        self.findings.update({(name, *what): n for what, n in ran.findings.items()})
        self.counts.update({(name, what): n for what, n in ran.counts.items()})

    def _compiled(self, kernel, arguments, options):
        source = ahead.source_of(kernel, arguments, _aligned)
        key = self.target, source.hash(), tuple(options.items())
        if key not in COMPILED:
            text, metadata = ahead.compile_to("ptx", source, self.target, options)
            assert metadata["shared"] <= ahead.SHARED[self.target], "shared memory over the limit"
            names = [name for name, type_ in source.signature.items() if type_ != "constexpr"]
            COMPILED[key] = str(text), Program(str(text)), metadata["shared"], names
        text, program, shared, names = COMPILED[key]
        if self.edit:
            edited = self.edit(kernel.__name__, text)
            program = program if edited == text else Program(edited)
        return program, shared, names

    def _value(self, value, memory, storages):
        if not isinstance(value, torch.Tensor):
            return value
        storage = value.untyped_storage()
        start = storage.data_ptr()
        if start not in storages:  # views of one storage are one region
            data = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
            storages[start] = memory.place(data)
        return storages[start] + value.data_ptr() - start


def _aligned(tensor):
    return tensor.data_ptr() % ahead.ALIGNMENT == 0


@contextmanager
def executed(target, **options):
    """Launches through Triton run in the executor, as on ``target`` ("sm_80", "sm_90"); gives the
    ``Executor``. Only in a process that does not interpret kernels."""
    executor = Executor(target, **options)
    chip = triton_engine.Chip(MULTIPROCESSORS, ahead.SHARED[target], target == "sm_90")

    def run(self, *args, **given):
        executor.run(self, *args, **given)

    patched = {
        (JITFunction, "run"): run,
        (triton_engine, "why_not_here"): lambda device, precision: None,
        (triton_engine.Chip, "of"): lambda device: chip,
    }
    before = {(owner, name): vars(owner)[name] for owner, name in patched}
    for (owner, name), value in patched.items():
        setattr(owner, name, value)
    try:
        yield executor
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
