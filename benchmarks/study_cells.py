"""A model of one cell line beside the joint one: `python benchmarks/study_cells.py GM12878 OUT`.

Trains on the labels of that cell alone, with the settings of encode-v1 (`--steps N`), and saves the
last weights, not calibrated. What they are worth on validation, label by label and paired over
blocks, is for `tcnfast evaluate -m OUT --against encode-v1 --cutoff 0.5 --part valid` to say.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from encode_data import ROOT, load_dataset
from study_training import MOTIFS, SPLIT, arguments

from tcnfast.cli import build_parser
from tcnfast.model.tcn import TCN, TCNConfig
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
    args = build_parser().parse_args(["train", *flags, f"--steps={given.steps}"])
    args.tiles, args.epoch_steps = args.batch_size, args.steps
    dataset, split = load_dataset(given.data, SPLIT)
    dataset = dataset.select([x for x in dataset.labels if x.endswith(f"@{given.cell}")])
    torch.manual_seed(args.seed)
    model = TCN(TCNConfig(labels=dataset.labels, **arguments(TCNConfig, args)))
    set_motif_filters(model, read_meme(given.data / MOTIFS))
    config = TrainConfig(**arguments(TrainConfig, args))
    fit(model, dataset, split["train"], split["valid"], config, progress=False)
    model.save(given.out)


if __name__ == "__main__":
    main()
