"""Recurrent networks over DNA: BiLSTM and BiGRU, on single bases or behind a convolution; DanQ.

The form behind a convolution is that of DeeperBind (Hassanzadeh and Wang 2016) and deepRAM
(Trabelsi, Chaabane and Ben-Hur 2019): motif detectors, pooling, a recurrent layer that reads them
in order. deepRAM pools 3 positions at stride 1, so that the recurrent layer still takes a step a
base; here it takes one for each pooled stretch, which trains several times faster. DanQ (Quang and
Xie 2016) does so too, and its dense layer reads all steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import TcnfastError
from .baseline_network import Detectors, WindowNetwork, dense

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
READOUTS = ("last", "attention", "all")


class RNN(WindowNetwork):
    """Codes (N, L) -> logits (N, labels).

    ``filters`` of width ``kernel`` feed the recurrent layer after a maximum over ``pool``
    positions every ``pool_stride`` (None: ``pool``); 0 filters: it reads the bases themselves.
    ``readout``: "last", the state of each direction after its last step; "attention", the mean over
    steps weighted by a learned score of each; "all", all of them, side by side. ``hidden_layer``: a
    dense layer before the head, 0 for none. ``dropout`` follows the pooling and the readout; two
    numbers: one for each.
    """

    def __init__(
        self,
        labels: list[str],
        length: int,
        mapping: str = "one-hot",
        *,
        cell: str = "lstm",
        hidden: int = 100,
        readout: str = "last",
        filters: int = 128,
        kernel: int = 24,
        pool: int = 8,
        pool_stride: int | None = None,
        hidden_layer: int = 0,
        dropout: float | tuple[float, float] = 0.2,
        norm: bool = True,
    ) -> None:
        super().__init__(labels, mapping)
        if cell not in CELLS or readout not in READOUTS:
            raise TcnfastError(f"RNN: cell {cell!r} or readout {readout!r} is unknown")
        self.length = length if readout == "all" else None
        self.pool, self.pool_stride = pool, pool_stride or pool
        self.detectors, width = None, self.input.channels
        if filters:
            if length < kernel + pool - 1:
                raise TcnfastError(f"RNN: windows of {length} bases are under {kernel + pool - 1}")
            self.detectors, width = Detectors(width, filters, kernel, norm), filters
            length = (length - kernel + 1 - pool) // self.pool_stride + 1
        self.recurrent = CELLS[cell](width, hidden, batch_first=True, bidirectional=True)
        initialise_recurrence(self.recurrent)
        self.score = nn.Linear(2 * hidden, 1) if readout == "attention" else None
        shares = (dropout, dropout) if isinstance(dropout, float | int) else dropout
        self.drops = nn.ModuleList(nn.Dropout(share) for share in shares)
        width = 2 * hidden * (length if readout == "all" else 1)
        self.hidden = dense(width, hidden_layer) if hidden_layer else None
        self.make_head(hidden_layer or width)

    def features(self, x: Tensor) -> Tensor:
        if self.length not in (None, x.shape[-1]):
            raise TcnfastError(f"this network scores {self.length} bases, not {x.shape[-1]}")
        if self.detectors is not None:
            x = self.drops[0](self.detectors.pooled(x, self.pool, self.pool_stride))
        states, _ = self.recurrent(x.transpose(1, 2))
        if self.length is None:
            h = self.drops[1](self._read(states))
        else:
            h = self.drops[1](states).flatten(1)
        return h if self.hidden is None else F.relu(self.hidden(h))

    def _read(self, states: Tensor) -> Tensor:
        """(N, steps, 2 hidden) -> (N, 2 hidden)."""
        if self.score is not None:
            return (torch.softmax(self.score(states), 1) * states).sum(1)
        half = states.shape[-1] // 2
        return torch.cat([states[:, -1, :half], states[:, 0, half:]], 1)


@torch.no_grad()
def initialise_recurrence(recurrent: nn.RNNBase) -> None:
    """Orthogonal recurrence; forget gates of an LSTM start open (Jozefowicz et al. 2015)."""
    for name, parameter in recurrent.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            for gate in parameter.split(recurrent.hidden_size):
                nn.init.orthogonal_(gate)
        else:
            parameter.zero_()
            if isinstance(recurrent, nn.LSTM) and name.startswith("bias_ih"):
                parameter[recurrent.hidden_size : 2 * recurrent.hidden_size] = 1.0
