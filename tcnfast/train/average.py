"""``tcnfast average``: from several model folders to one."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ..base.errors import TcnfastError
from ..base.run_folder import OutputFolder
from ..data.source import Source, open_source
from ..data.training_tiles import TileSampler
from ..model.ensemble import Ensemble, check_members, mean_weights
from ..model.load_model import load_model
from ..model.model_folder import ModelFolder
from ..model.tcn import TCN
from .publish import publish

log = logging.getLogger(__name__)

HOWS = ("logits", "weights")
STATISTICS_BATCHES, STATISTICS_TILES = 50, 64  # five million bases; a mean over them hardly moves


def average_models(
    models: list[str],
    out: str,
    how: str = "logits",
    *,
    stride: int = 32,
    device: str = "auto",
    precision: str = "auto",
    force: bool = False,
    **data,
) -> Path:
    """Write one model folder ``out`` made of several; returns its path.

    ``how``: "logits", an ensemble whose score is the mean of its members' logits; or "weights", one
    network of their mean weights (see ``ensemble.mean_weights`` for when that means anything). A
    model that is an ensemble already counts as its members.

    The members' thresholds hold for neither. With ``data``, arguments of :func:`open_source`, the
    result is calibrated on the validation regions and scored on test as a trained model is, and an
    average of weights gets running statistics of its own; else it has no thresholds.
    """
    if how not in HOWS:
        raise TcnfastError(f"how {how!r}: must be {' or '.join(HOWS)}")
    folders = [ModelFolder(name) for name in models]
    for index, folder in enumerate(folders):
        if folder.path.resolve() in [other.path.resolve() for other in folders[:index]]:
            raise TcnfastError(f"model {models[index]}: is given twice")
    networks = _networks(folders)
    names = list(networks)
    check_members(names, list(networks.values()))
    if len(networks) < 2:
        raise TcnfastError(f"model {models[0]}: is one network; average two or more")
    model = _average(networks, how)
    hashes = [(folder.name, folder.hash) for folder in folders]
    key = {"command": "average", "how": how, "models": hashes, "stride": stride}
    card = _card(Path(out).name, how, hashes, len(networks))
    if not data:
        output = OutputFolder(out, key, force, resume=None)
        return _write_uncalibrated(model, output, card)
    with open_source(**data, labels=model.labels, label_bin=model.config.label_bin) as source:
        key["inputs"] = source.inputs
        output = OutputFolder(out, key, force, resume=None)
        return _write_calibrated(model, output, card, source, stride, device, precision)


def _networks(folders: list[ModelFolder]) -> dict[str, TCN]:
    """Every network of the models, by a name that a message can use."""
    networks = {}
    for folder in folders:
        members = load_model(folder).members
        for number, member in enumerate(members, 1):
            name = str(folder.path)
            networks[f"{name}, member {number}" if len(members) > 1 else name] = member
    return networks


def _average(networks: dict[str, TCN], how: str) -> TCN | Ensemble:
    members = list(networks.values())
    if how == "weights":
        return mean_weights(list(networks), members)
    return Ensemble(members).eval()


def _write_uncalibrated(model: TCN | Ensemble, output: OutputFolder, card: str) -> Path:
    result = output.work / "result"
    lacks = "it has no thresholds, and its logits are no log-odds"
    if isinstance(model, TCN) and model.config.norm == "batch":
        lacks += "; its batch norm holds the mean of its members' statistics, not its own"
    model.save(result)
    remedy = "--data, or --genome, --peaks and --split, mends that"
    (result / "README.md").write_text(f"{card}Not calibrated: {lacks}. {remedy}.\n")
    output.publish(result, {})
    log.warning("WARNING: %s is not calibrated: %s; %s", output.folder, lacks, remedy)
    return output.folder


def _write_calibrated(
    model: TCN | Ensemble,
    output: OutputFolder,
    card: str,
    source: Source,
    stride: int,
    device: str,
    precision: str,
) -> Path:
    result = output.work / "result"
    try:
        if isinstance(model, TCN):
            refresh_statistics(model, source, stride)
        card += _data_words(source)
        scores = publish(model, source.dataset, source.split, result, stride=stride, device=device,
                         precision=precision, card=card)  # fmt: skip
    except BaseException:
        output.discard()
        raise
    output.publish(result, {"test_macro_ap": round(scores.test.macro("ap"), 4)})
    log.info("validation macro-AP %.4f; model in %s", scores.valid.macro("ap"), output.folder)
    return output.folder


class _Dense(nn.Module):
    """A network as ``update_bn`` calls one."""

    def __init__(self, model: TCN, stride: int) -> None:
        super().__init__()
        self.model, self.stride = model.unfused(), stride

    def forward(self, codes: Tensor) -> Tensor:
        return self.model.dense(codes, self.stride)


def refresh_statistics(model: TCN, source: Source, stride: int) -> None:
    """Give batch norm the running statistics that these weights see on training tiles, in place
    (Izmailov et al. 2018, arXiv 1803.05407). Nothing is learned."""
    sampler = TileSampler(source.dataset, source.split["train"], model.receptive_field, stride,
                          STATISTICS_TILES)  # fmt: skip
    device = next(model.parameters()).device
    torch.manual_seed(0)  # dropout is on, as it was in training
    batches = (sampler.batch(index)[0] for index in range(STATISTICS_BATCHES))
    update_bn((torch.from_numpy(codes) for codes in batches), _Dense(model, stride), device)
    model.eval()


def _card(name: str, how: str, hashes: list[tuple[str, str]], networks: int) -> str:
    what = {
        "logits": f"An ensemble: the mean of the logits of {networks} networks.",
        "weights": f"One network: the mean of the weights of {networks}.",
    }
    members = [f"- {folder} (SHA-256 {digest[:16]})" for folder, digest in hashes]
    return "\n".join([f"# {name}", "", what[how], "", "## Made of", "", *members, "", ""])


def _data_words(source: Source) -> str:
    files = [f"- `{file}` (SHA-256 {digest[:16]})" for file, digest in source.inputs]
    return "\n".join([
        "## Calibration", "",
        "Probabilities are calibrated per label on the validation regions (Platt scaling, inside "
        "the head), and thresholds chosen there; what to expect of them was measured on the test "
        "regions. Its members may have been trained on other data: their own cards say.", "",
        *files, "", "",
    ])  # fmt: skip
