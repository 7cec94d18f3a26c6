"""Weights that others trained on pictures, from files whose content nobody vouches for."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.errors import TcnfastError


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .pth file, of which no code is run, or of a .safetensors file, by name.
    Raises TcnfastError where there is no such file, or where it holds anything else."""
    path = Path(path)
    if not path.is_file():
        raise TcnfastError(f"weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise what they like for a file that is none
        words = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise TcnfastError(f"weights {path}: cannot be read ({words})") from None
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise TcnfastError(f"weights {path}: holds no tensors by name")
    return found


def fill(
    network: nn.Module, names: dict[str, str], given: dict[str, Tensor], path: str | Path, give: str
) -> None:
    """Fill ``network`` with the tensors ``given``; ``names``: what the file calls each tensor of
    the network. Raises TcnfastError that names what is missing, left over, of another shape or not
    finite, and says what to ``give``."""
    wanted = {names[name]: tensor for name, tensor in network.state_dict().items()}
    given = dict(given)
    # files of 2016 to 2018 lack these counts, which nothing reads
    for name, tensor in wanted.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, tensor)
    for name in (*wanted, *given):
        if name not in given or name not in wanted:
            where = "lacks" if name in wanted else "holds, beside what the network has,"
            raise TcnfastError(f"{path}: {where} {name}; give {give}")
        if given[name].shape != wanted[name].shape:
            raise TcnfastError(
                f"{path}: {name} is {tuple(given[name].shape)}, the network's "
                f"{tuple(wanted[name].shape)}; give {give}"
            )
        if not given[name].isfinite().all():
            raise TcnfastError(f"{path}: {name} holds numbers that are not finite")
    network.load_state_dict({name: given[theirs] for name, theirs in names.items()})
