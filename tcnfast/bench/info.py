"""``tcnfast info``: what is installed, what it can run on, and what a model holds."""

from __future__ import annotations

from dataclasses import astuple

from ..base.run_record import device_words, unused_gpu, versions
from ..engines.backend import SCAN, TASKS, Spec, auto_precision, choose, choose_device, why_not
from ..engines.cpu_engine import isas
from ..engines.grid import stack_grid
from ..model.cutoffs import choose_cutoffs
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.thresholds import held_cutoffs


def show_system() -> None:
    """Versions, device, backends and bundled models, as lines on stdout."""
    for name, number in versions().items():
        print(f"{name}\t{number}")
    device = choose_device("auto")
    print(f"device\t{device_words(device)}")
    unused = unused_gpu(device)
    if unused:
        print(f"warning\t{unused}")
    for way in SCAN.implementations:
        precision = auto_precision(way.backend, device)
        reason = way.why_not(Spec(device, precision, (stack_grid(3, 8, 32),)))
        print(f"backend\t{way.backend}\t{reason or f'runs in {precision}'}")
    for task in TASKS:
        reason = why_not(task, device, "fp32")
        print(f"task\t{task.name}\t{reason or choose(task, 'auto', device, 'fp32').backend}")
    for name, reason in isas().items():
        print(f"instructions\t{name}\t{reason or 'here'}")
    for name in ModelFolder.bundled():
        print(f"model\t{name}\t{ModelFolder(name).path}")


def show_model(name: str) -> None:
    """A model's shape on the first line, then its labels and thresholds as a TSV, on stdout."""
    model = load_model(name)
    words = f"{len(model.labels)} labels, receptive field {model.receptive_field} bp"
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
            cells += astuple(cutoffs[label])[:3] if cutoffs[label] else ["NA"] * len(names)
        print(label, *cells, sep="\t")
