"""``tcnfast average``: from several model folders to one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ..base.disk import write_text
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.run_folder import RunFolder
from ..data.data_options import DataOptions
from ..data.source import Source, open_source
from ..data.tile_options import TileOptions
from ..data.training_tiles import TileSampler
from ..model.ensemble import Ensemble, check_members, mean_weights
from ..model.load_model import load_model
from ..model.model_folder import CARD, ModelFolder
from ..model.tcn import TCN
from . import AverageOptions
from .card import averaged_card, calibration_words
from .publish import publish, scores_record

log = logging.getLogger(__name__)

STATISTICS_BATCHES, STATISTICS_TILES = 50, 64  # five million bases; a mean over them hardly moves


def average_models(
    models: Sequence[str | Path],
    data: str | Path | None,
    out: str | Path,
    options: AverageOptions,
    run: Run,
) -> ModelFolder:
    """What ``tcnfast average`` does."""
    key = {}
    with RunFolder(out, "average", run, key=lambda: key) as folder:
        folders = [ModelFolder(name) for name in models]
        for index, one in enumerate(folders):
            if one.path.resolve() in [other.path.resolve() for other in folders[:index]]:
                raise TcnfastError(f"model {models[index]}: is given twice")
        networks = _networks(folders)
        check_members(list(networks), list(networks.values()))
        if len(networks) < 2:
            raise TcnfastError(f"model {models[0]}: is one network; average two or more")
        model = _average(networks, options.how)
        hashes = [(one.name, one.hash) for one in folders]
        key |= {"how": options.how, "models": hashes, "stride": options.stride}
        key |= {"no_test": True} if options.no_test else {}
        card = averaged_card(folder.path.name, options.how, hashes, len(networks))
        if data is None and not options.given:
            _write_uncalibrated(model, folder, card)
        else:
            config = model.config
            about = dict(labels=model.labels, label_bin=config.label_bin)
            with open_source(data, **vars(options.narrowed(DataOptions)), **about) as source:
                key["inputs"] = source.inputs
                _write_calibrated(model, folder, card, source, options, run)
    return ModelFolder(folder.path)


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


def _write_uncalibrated(model: TCN | Ensemble, folder: RunFolder, card: str) -> None:
    lacks = "it has no thresholds, and its logits are no log-odds"
    if isinstance(model, TCN) and model.config.norm == "batch":
        lacks += "; its batch norm holds the mean of its members' statistics, not its own"
    model.save(folder.result)
    write_text(folder.result / CARD, f"{card}Not calibrated: {lacks}. Average with data.\n")
    folder.publish()
    words = "WARNING: %s is not calibrated: %s; average with %s, or with files of data"
    log.warning(words, folder.path, lacks, setting("data"))


def _write_calibrated(
    model: TCN | Ensemble,
    folder: RunFolder,
    card: str,
    source: Source,
    options: AverageOptions,
    run: Run,
) -> None:
    if isinstance(model, TCN):
        refresh_statistics(model, source, options.stride)
    card += calibration_words(source.inputs, not options.no_test)
    given = model, source.dataset, source.split, folder.result, card
    scores = publish(*given, options.stride, run, options.no_test)
    folder.publish(scores_record(scores))
    log.info("validation macro-AP %.4f; model in %s", scores["valid"].macro("ap"), folder.path)


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
    tiles = TileOptions(stride=stride, batch_size=STATISTICS_TILES)
    sampler = TileSampler(source.dataset, source.split["train"], model.receptive_field, tiles)
    device = next(model.parameters()).device
    torch.manual_seed(0)  # dropout is on, as it was in training
    batches = (sampler.batch(index)[0] for index in range(STATISTICS_BATCHES))
    update_bn((torch.from_numpy(codes) for codes in batches), _Dense(model, stride), device)
    model.eval()
