"""A model of one cell line beside the joint one: `python -m benchmarks.studies.cells GM12878 OUT`.

Trains on the labels of that cell alone, with the settings of encode-v1 (`--steps N`), and saves the
last weights, not calibrated. What they are worth on validation, label by label and paired over
blocks, is for `tcnfast evaluate -m OUT --against encode-v1 --cutoff 0.5 --part valid` to say.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.studies.encode_data import ROOT, load_dataset
from benchmarks.studies.training import MOTIFS, SPLIT, train_options
from tcnfast.model.tcn import TCN
from tcnfast.pwm.meme import read_meme
from tcnfast.train.fit import fit
from tcnfast.train.motif_init import set_motif_filters
from tcnfast.train.train_config import TrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("cell")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--steps", type=int, default=10_000)
    given = parser.parse_args()
    settings = json.loads((ROOT / "examples/encode-v1.json").read_text())
    flags = [f"--{name}={value}" for name, value in settings.items()]
    options = train_options([*flags, f"--steps={given.steps}"])
    dataset, split = load_dataset(given.data, SPLIT)
    dataset = dataset.select([x for x in dataset.labels if x.endswith(f"@{given.cell}")])
    torch.manual_seed(options.seed)
    model = TCN(options.shape(dataset.labels))
    set_motif_filters(model, read_meme(given.data / MOTIFS))
    config = replace(options.narrowed(TrainConfig), epoch_steps=options.steps)
    fit(model, dataset, split["train"], split["valid"], config, progress=False)
    model.save(given.out)


if __name__ == "__main__":
    main()
