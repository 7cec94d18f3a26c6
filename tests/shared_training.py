"""`torchrun --nproc-per-node=N shared_training.py FOLDER WORDS...`: trainings that processes share,
each saved for a comparison with one process; then `tcnfast WORDS`, which trains, and what cannot be
shared."""

import os
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from support.train import (
    SHARED,
    TRAIN,
    VALID,
    before_each_step,
    new_model,
    planted_dataset,
    shared_config,
)

from tcnfast import cli
from tcnfast.train.fit import fit
from tcnfast.train.torchrun import joined

FIRST = os.environ["RANK"] == "0"


def train_all(folder: Path) -> None:
    with joined("cpu") as (ranks, device), planted_dataset(folder / f"data{ranks.rank}") as dataset:
        for name, (options, shape) in SHARED.items():
            model, grads = new_model(2, **shape), {}

            def keep(_, model=model, grads=grads):
                if not grads:
                    grads.update({n: p.grad.clone() for n, p in model.named_parameters()})

            saved = folder / f"{name}.checkpoint"
            epochs = []

            def on_epoch(judged, epoch, is_best, saved=saved, epochs=epochs):
                epochs.append(epoch)
                if saved.exists():  # the state before this epoch
                    shutil.copy(saved, saved.with_suffix(".early"))

            given = model, dataset, TRAIN, VALID, shared_config(options), device
            first = (on_epoch, False, saved) if FIRST else (None, False)
            with before_each_step(keep):
                fit(*given, *first, ranks=ranks)
            if FIRST:
                state = {f"state.{key}": x for key, x in model.state_dict().items()}
                state |= {f"grad.{key}": x for key, x in grads.items()}
                state["loss"] = torch.tensor([epoch.loss for epoch in epochs])
                save_file({k: x.contiguous() for k, x in state.items()}, folder / f"{name}.result")


def main(folder: Path, words: list[str]) -> None:
    train_all(folder)
    codes = [cli.main(words)]
    codes.append(cli.main([*words, "--batch-size", "9", "--force"]))
    codes.append(cli.main([*words, "--device", "cuda:0", "--force"]))
    codes.append(cli.main(words))  # the output is there
    (folder / f"codes{os.environ['RANK']}").write_text(" ".join(map(str, codes)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
