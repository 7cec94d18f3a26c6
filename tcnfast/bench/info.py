"""``tcnfast info``: what is installed, what it can run on, and what a model holds."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from dataclasses import astuple

import torch

from ..base.extras import install
from ..base.run_record import device_words, unused_gpu, versions
from ..base.tables import as_cell
from ..base.talk import count
from ..base.verb import DEFAULT_MODEL
from ..engines import backend, cpu_engine
from ..engines.backend import SCAN, TASKS, Spec, auto_precision, choose, choose_device, why_not
from ..engines.grid import stack_grid
from ..model.cutoffs import choose_cutoffs
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.thresholds import held_cutoffs
from ..pwm.motif_formats import BUNDLED
from .installed import extras


def show_system() -> None:
    """What is installed and what it can run, as lines on stdout: what, name, and how it is."""
    for row in _system():
        print(*row, sep="\t")


def _system() -> Iterator[tuple[str, ...]]:
    yield from versions().items()
    yield "platform", platform.platform()
    device = choose_device("auto")
    yield "device", device_words(device)
    unused = unused_gpu(device)
    if unused:
        yield "warning", unused
    yield from _gpus()
    yield "threads", str(torch.get_num_threads()), f"of {count(os.cpu_count(), 'processor')}"
    yield from _engine()
    for way in SCAN.implementations:
        precision = auto_precision(way.backend, device)
        reason = way.why_not(Spec(device, precision, (stack_grid(3, 8, 32),)))
        yield "backend", way.backend, reason or f"runs in {precision}"
    for task in TASKS:
        reason = why_not(task, device, "fp32")
        yield "task", task.name, reason or choose(task, "auto", device, "fp32").backend
    for variable in (backend.VARIABLE, cpu_engine.ISA_VARIABLE):
        if os.environ.get(variable):
            yield "environment", variable, os.environ[variable]
    for name, missing in extras().items():
        mend = f"missing {', '.join(missing)}: {install(name)}"
        yield "extra", name, mend if missing else "here"
    for name in ModelFolder.bundled():
        folder = ModelFolder(name)
        default = "the default, " if name == DEFAULT_MODEL else ""
        yield "model", name, f"{default}{count(len(folder.labels), 'label')}, {folder.path}"
    for name, path in BUNDLED.items():
        yield "motifs", name, str(path)


def _gpus() -> Iterator[tuple[str, ...]]:
    if not torch.cuda.is_available():
        yield "gpu", "none", f"PyTorch {torch.__version__} sees no CUDA device"
        return
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        words = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, sm_{about.major}{about.minor}"
        yield "gpu", f"cuda:{index}", f"{words}, CUDA {torch.version.cuda}"


def _engine() -> Iterator[tuple[str, ...]]:
    reason = cpu_engine.why_not("fp32")
    yield "engine", "C++", reason or f"built; {cpu_engine.isa()} runs"
    for name, why in cpu_engine.isas().items():
        yield "instructions", name, why or "here"


def show_model(name: str) -> None:
    """A model's shape on the first line, then its labels and thresholds as a TSV, on stdout."""
    model = load_model(name)
    words = f"{count(len(model.labels), 'label')}, receptive field {model.receptive_field} bp"
    if len(model.members) > 1:
        words += f", ensemble of {len(model.members)}"
    if all(member.config.symmetric for member in model.members):
        words += ", symmetric: both strands in one pass"
    print(f"# {name}: {words}")
    rules = held_cutoffs(model.thresholds) if model.thresholds else []
    names = ("threshold", "expected_precision", "expected_recall")
    header = (name if rule == "f1" else f"{name}@{rule}" for rule in rules for name in names)
    print("label", *header, sep="\t")
    chosen = [choose_cutoffs(model.thresholds, model.labels, rule) for rule in rules]
    for label in model.labels:
        cells = []
        for cutoffs in chosen:
            cutoff = astuple(cutoffs[label])[:3] if cutoffs[label] else (math.nan,) * len(names)
            cells += [as_cell(x, "") for x in cutoff]
        print(label, *cells, sep="\t")
