"""TCN: the multi-label network, its initialisation and its forward passes."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ..base.errors import TcnfastError
from ..engines import pairs, reference, training_pass
from ..engines.grid import BlockGrid
from ..engines.ranks import ALONE
from .model_folder import ModelFolder
from .paired import PairedBatchNorm, PairedDropout, tie, tie_convolution, tie_normed
from .tcn_config import TCNConfig

if TYPE_CHECKING:
    from .grades import Calls
    from .home_genome import HomeGenome
    from .thresholds import Threshold

# of the start under batch norm, see Block._initialise. Not searched; on the validation regions of
# examples/encode-v1.split.json, one run each with motif filters, 750 steps gave a macro-AP of .185
# and an AUROC of .893, and He alone .173 and .879
RANDOM_SHARE, SMOOTHING, BRANCH_GAIN = 0.5, 0.6, 0.5


class Block(nn.Module):
    """Residual block of Bai, Kolter and Koltun 2018 (arXiv 1803.01271), unpadded.

    Two dilated convolutions, each followed by its norm, ReLU and channel dropout, plus the
    residual (1x1 if the widths differ), then ReLU. Every ReLU is a module of its own and used
    once, which attribution tools that hook modules rely on. The channels of a ``symmetric`` block
    are pairs (``engines/pairs.py``).
    """

    def __init__(self, c_in: int, index: int, config: TCNConfig) -> None:
        super().__init__()
        channels = config.channels
        self.tap = config.grid(1).blocks[index].residual_tap(config.alignment)
        self.symmetric = config.symmetric
        batch = config.norm == "batch"
        batch_norm = PairedBatchNorm if self.symmetric else nn.BatchNorm2d
        dropout = PairedDropout if self.symmetric else nn.Dropout2d
        k1, k2 = config.grid(1).blocks[index].kernel_sizes
        self.conv1 = nn.Conv1d(c_in, channels, k1, bias=not batch)
        self.conv2 = nn.Conv1d(channels, channels, k2, bias=not batch)
        self.norm1 = batch_norm(channels) if batch else nn.Identity()
        self.norm2 = batch_norm(channels) if batch else nn.Identity()
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.drop1, self.drop2 = dropout(config.dropout), dropout(config.dropout)
        self.residual = nn.Conv1d(c_in, channels, 1) if c_in != channels else None
        self._initialise((2 * config.blocks) ** -0.5)
        for conv in (self.conv1, self.conv2):
            if self.symmetric:
                (tie_convolution if batch else tie_normed)(conv)
            elif not batch:
                weight_norm(conv)
        if self.symmetric and self.residual is not None:
            tie_convolution(self.residual)

    @torch.no_grad()
    def _initialise(self, damping: float) -> None:
        """He. Under batch norm, channels-to-channels kernels are mostly the identity at every tap:
        each channel starts as a smoother of itself, so that what a first filter finds anywhere in
        the window reaches the centre. Without it, variance is kept by damping the branch. Half of
        the channels can stand for all: both halves are drawn alike, and the smoother is its own
        flip."""
        if self.conv1.weight.is_meta:  # only shapes are wanted: drawing imports PyTorch's compiler
            return
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        if isinstance(self.norm2, nn.BatchNorm2d):
            for conv in (self.conv1, self.conv2):
                if conv.in_channels == conv.out_channels:
                    identity = torch.eye(conv.out_channels)[:, :, None]
                    conv.weight.mul_(RANDOM_SHARE).add_(SMOOTHING * identity)
            nn.init.constant_(self.norm2.weight, BRANCH_GAIN)
        else:
            self.conv2.weight.mul_(damping)
        if self.residual is not None:
            nn.init.kaiming_normal_(self.residual.weight, nonlinearity="linear")
            nn.init.zeros_(self.residual.bias)

    def forward(self, x: Tensor, grid: BlockGrid) -> Tensor:
        """(N, C_in, 1, L) on ``grid.grid_in`` -> (N, C, 1, L') on ``grid.grid_out``."""
        h = reference.conv(x, self.conv1.weight, self.conv1.bias, grid.dilation)
        h = self.drop1(self.relu1(self.norm1(h)))
        h = reference.conv(h, self.conv2.weight, self.conv2.bias, grid.dilation, grid.stride)
        h = self.drop2(self.relu2(self.norm2(h)))
        shortcut = reference.residual_input(x, self.tap, grid, h.shape[-1])
        if self.residual is not None:
            shortcut = reference.conv(shortcut, self.residual.weight, self.residual.bias)
        return self.relu3(h + shortcut)


class Labelled(nn.Module):
    """A network whose ``config`` says its labels and how far it sees."""

    thresholds: dict[str, Threshold] | None
    calls: Calls | None
    home: HomeGenome | None

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the outputs."""
        return self.config.labels

    @property
    def receptive_field(self) -> int:
        """Bases that one score depends on; odd."""
        return self.config.receptive_field


class TCN(Labelled):
    """Multi-label temporal convolutional network over DNA.

    ``thresholds`` maps a label to its row of ``thresholds.tsv``, or is None for an uncalibrated
    model. ``calls`` is what is known of its calls (grades.py) and ``home`` the genome that it was
    trained on (home_genome.py), or None. Training on codes runs on the C++ engine or the kernels
    where these can (``training_pass.backend_of``), and where ``ranks`` names processes that share
    each batch (``engines/ranks.py``), on this one's rows; ``unfused()`` is the same network in
    plain modules throughout. A symmetric network scores both strands of any sequence alike; its
    parameters are halves, of which ``weight`` and ``bias`` of its convolutions and head are made
    whole.

    Both forward passes take a tensor or a numpy array: uint8 codes (N, L) (A 0, C 1, G 2, T 3, N 4)
    or float one-hot (N, 4, L) (channels in the order ACGT, N all zeros).

    Args:
        config: the shape and the labels.

    Raises:
        TcnfastError: of the forward passes, for input of another shape or type.
    """

    def __init__(self, config: TCNConfig) -> None:
        super().__init__()
        self.config = config
        self.thresholds = self.calls = self.home = None
        self.engine, self.ranks = True, ALONE.name
        self.blocks = nn.ModuleList(
            Block(4 if index == 0 else config.channels, index, config)
            for index in range(config.blocks)
        )
        self.head = nn.Linear(config.channels, len(config.labels))
        if not self.head.weight.is_meta:
            nn.init.normal_(self.head.weight, std=0.01)
            nn.init.zeros_(self.head.bias)
        if config.symmetric:
            tie(self.head, "weight", 1)

    @property
    def members(self) -> list[TCN]:
        """The networks whose logits are averaged: itself alone."""
        return [self]

    def unfused(self) -> TCN:
        """The same modules and weights, not copies, that never run on the C++ engine.

        Returns:
            TCN: a network that shares its parameters with this one.
        """
        plain = copy(self)
        plain.engine = False
        return plain

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the configuration, the tensors, and what is known of calls, not the modules: those
        with computed weights (weight norm, symmetric networks) cannot be pickled. Hooks are left
        out."""
        about = self.thresholds, self.calls, self.home, self.engine, self.training
        frozen = [name for name, x in self.named_parameters() if not x.requires_grad]
        return _restored, (type(self), self.config, dict(self.state_dict()), about, frozen)

    def __copy__(self) -> TCN:
        """The same modules and tensors."""
        made = type(self).__new__(type(self))
        vars(made).update(vars(self))
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> TCN:
        memo[id(self)] = made = type(self).__new__(type(self))
        vars(made).update(deepcopy(vars(self), memo))
        return made

    @torch.no_grad()
    def set_label_rates(self, rates: Tensor) -> None:
        """Set the bias of the head to the log-odds of how often each label is bound.

        Args:
            rates: float (labels,), the share of bound windows of each label; kept in [1e-6, 1 -
                1e-6].
        """
        rates = torch.as_tensor(rates, dtype=self.head.bias.dtype).clamp(1e-6, 1 - 1e-6)
        self.head.bias.copy_(rates.logit())

    def forward(self, x: Tensor | np.ndarray) -> Tensor:
        """Logits of the window around base ``L // 2``.

        Args:
            x: codes uint8 (N, L) or one-hot float (N, 4, L), a tensor or a numpy array. It is
                cropped,
                or filled with N, evenly to the receptive field.

        Returns:
            Tensor: logits (N, labels), in the dtype of the weights.

        Raises:
            TcnfastError: for input of another shape or type.
        """
        x, rf = self._on_its_device(x), self.receptive_field
        start = x.shape[-1] // 2 - rf // 2
        x = x[..., max(0, start) : max(0, start) + rf]
        left = max(0, -start)
        if x.shape[-1] < rf:
            n_code = 4 if _is_codes(x) else 0
            x = nn.functional.pad(x, (left, rf - left - x.shape[-1]), value=n_code)
        return self.dense(x, stride=2**self.config.blocks)[..., 0]

    def dense(self, x: Tensor | np.ndarray, stride: int = 1) -> Tensor:
        """Logits of every ``stride``-th window that lies wholly in the sequence.

        Args:
            x: codes uint8 (N, L) or one-hot float (N, 4, L), a tensor or a numpy array.
            stride: spacing of the windows in bp, a power of two.

        Returns:
            Tensor: logits (N, labels, (L - RF) // stride + 1), in the dtype of the weights.

        Raises:
            TcnfastError: where L is under the receptive field, where stride is no power of two, and
                for
                input of another shape or type.
        """
        x, grid = self._on_its_device(x), self.config.grid(stride)
        if x.shape[-1] < self.receptive_field:
            raise TcnfastError(
                f"dense: {x.shape[-1]} bases are under the receptive field of "
                f"{self.receptive_field}; add context, or N (code 4)"
            )
        backend = training_pass.backend_of(self, x)
        if backend != "reference":
            return training_pass.dense(self, x, grid, backend)
        h = network_input(x, self.head.weight.dtype)
        for block, block_grid in zip(self.blocks, grid.blocks, strict=True):
            h = block(h, block_grid)
        features = h[..., :: grid.sample].squeeze(2).transpose(1, 2)
        return self.head(features).transpose(1, 2)

    def _on_its_device(self, x: Tensor | np.ndarray) -> Tensor:
        """A numpy array as a tensor beside the weights; a tensor as it is."""
        return torch.as_tensor(x, device=self.head.bias.device) if isinstance(x, np.ndarray) else x

    def folded(self) -> reference.StackWeights:
        """The weights with norms folded into the convolutions.

        Returns:
            StackWeights: float tensors in the model's dtype, for the engines.
        """
        blocks = tuple(
            reference.BlockWeights(
                *_fold(block.conv1, block.norm1),
                *_fold(block.conv2, block.norm2),
                block.residual and (block.residual.weight.squeeze(-1), block.residual.bias),
                block.tap,
            )
            for block in self.blocks
        )
        symmetric = self.config.symmetric
        return reference.StackWeights(blocks, self.head.weight, self.head.bias, symmetric)

    def save(self, folder: str | Path) -> None:
        """Write the model folder (model_folder.py): safetensors, JSON and TSV, never pickle.

        Args:
            folder: made where it is missing; files of a model that is there are replaced.

        Raises:
            TcnfastError: for weights that are not finite.
        """
        config = asdict(self.config)
        labels = config.pop("labels")
        about = self.thresholds, self.calls, self.home
        ModelFolder.write(folder, self.state_dict(), config, labels, *about)


def _restored(
    kind: type[TCN],
    config: TCNConfig,
    state: dict[str, Tensor],
    about: tuple[Any, ...],
    frozen: list[str],
) -> TCN:
    """A network out of its pickle."""
    with torch.device("meta"):  # no random numbers are drawn, no memory is taken
        model = kind(config)
    model.load_state_dict(state, assign=True)
    model.thresholds, model.calls, model.home, model.engine, training = about
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return model.train(training)


def network_input(x: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 codes (N, L), or float one-hot (N, 4, L) as it is -> (N, 4, 1, L) channels-last."""
    return reference.one_hot(x, dtype) if _is_codes(x) else reference.channels_last(x)


def _is_codes(x: Tensor) -> bool:
    if x.dtype == torch.uint8 and x.ndim == 2:
        return True
    if x.is_floating_point() and x.ndim == 3 and x.shape[1] == 4:
        return False
    raise TcnfastError(
        f"model input {tuple(x.shape)} {x.dtype}: must be uint8 codes (N, L) or float one-hot "
        "(N, 4, L)"
    )


def _fold(conv: nn.Conv1d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution followed by its (evaluation-mode) norm."""
    if not isinstance(norm, nn.BatchNorm2d):
        return conv.weight, conv.bias
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * gain
    if isinstance(norm, PairedBatchNorm):
        gain, shift = pairs.whole(gain), pairs.whole(shift)
    return conv.weight * gain[:, None, None], shift
