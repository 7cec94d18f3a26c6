"""Residual blocks of many shapes for the tests of training (support/block.py)."""

from typing import NamedTuple

from tcnfast.model.tcn import TCNConfig

SPAN = 512  # positions that the engine takes at a time, at most (csrc/cpu/train_parts.h)


class Case(NamedTuple):
    """A block of a stack trained for scores every ``stride``, ``outputs`` of its outputs and
    ``rest`` positions more than they need. ``loud``: rows at the seams of spans weigh that much."""

    index: int = 0
    channels: int = 5
    k: int = 3
    first: int = 3
    stride: int = 1
    norm: str = "batch"
    alignment: str = "centred"
    sequences: int = 2
    outputs: int = 9
    rest: int = 0
    dropout: float = 0.0
    loud: float = 1.0
    symmetric: bool = False

    @property
    def config(self):
        return TCNConfig(
            labels=["a"],
            channels=self.channels,
            kernel_size=self.k,
            blocks=max(5, self.index + 1),
            first_kernel=self.first if self.first > self.k else self.k,
            norm=self.norm,
            alignment=self.alignment,
            dropout=self.dropout,
            symmetric=self.symmetric,
        )

    @property
    def grid(self):
        return self.config.grid(self.stride).blocks[self.index]

    @property
    def length(self):
        grid = self.grid
        return grid.span // grid.grid_in + 1 + (self.outputs - 1) * grid.stride + self.rest

    @property
    def length1(self):
        return self.length - (self.grid.kernel_sizes[0] - 1) * self.grid.dilation

    @property
    def draws(self):
        return 2 if self.length2 >= SPAN else 6 if self.channels < 16 else 3

    @property
    def length2(self):
        return self.outputs + self.rest // self.grid.stride


TABLE = [
    # the first block, which reads codes
    Case(0, 1, 2, 2, 1, "batch", "centred", 2, 30),
    Case(0, 3, 2, 4, 2, "weight", "causal", 1, 9, 1, 0.3),
    Case(0, 4, 3, 3, 1, "batch", "causal", 7, 12, 0, 0.3),
    Case(0, 4, 3, 15, 32, "weight", "centred", 2, 20),
    Case(0, 5, 4, 6, 1, "weight", "centred", 2, 1),
    Case(0, 16, 3, 15, 32, "batch", "centred", 7, 10, 0, 0.3),
    Case(0, 17, 7, 19, 64, "batch", "causal", 7, 40),
    Case(0, 33, 5, 7, 1, "weight", "causal", 1, 21, 0, 0.3),
    Case(0, 64, 3, 19, 4, "batch", "centred", 7, 60, 1),
    # the others, which read rows: dilations 1 to 16, strides 1 and 2
    Case(1, 1, 3, 3, 1, "batch", "centred", 7, 11),
    Case(1, 3, 4, 4, 2, "batch", "causal", 2, 41, 1, 0.3),
    Case(1, 4, 5, 5, 1, "weight", "causal", 1, 1),
    Case(1, 64, 3, 15, 16, "batch", "centred", 7, 60, 1, 0.1),
    Case(2, 5, 6, 6, 8, "batch", "centred", 7, 17, 1),
    Case(2, 16, 7, 7, 1, "weight", "centred", 2, 9),
    Case(2, 33, 2, 2, 4, "batch", "causal", 7, 60, 0, 0.3),
    Case(3, 4, 2, 2, 16, "weight", "causal", 7, 5, 1, 0.3),
    Case(3, 17, 3, 3, 1, "batch", "centred", 1, 400),
    Case(3, 64, 3, 15, 32, "weight", "centred", 2, 20, 1, 0.1),
    Case(4, 3, 7, 7, 1, "batch", "causal", 2, 35),
    Case(4, 5, 3, 3, 64, "batch", "causal", 2, 35, 1),
    Case(4, 16, 4, 4, 2, "weight", "centred", 1, 13, 0, 0.3),
    Case(4, 33, 5, 5, 32, "batch", "centred", 7, 60, 1),
]
# rows at the seams of spans outweigh the others, so that one left out is seen in every sum
LONG = [
    Case(0, 5, 3, 15, 1, "batch", "centred", 2, 1100, 0, 0.3, 16.0),
    Case(0, 4, 2, 4, 4, "weight", "causal", 1, 700, 1, 0.0, 16.0),
    Case(1, 17, 3, 3, 4, "batch", "centred", 2, 700, 1, 0.0, 16.0),
    Case(2, 5, 7, 7, 1, "weight", "causal", 2, 600, 0, 0.3, 16.0),
    Case(3, 4, 4, 4, 16, "weight", "centred", 2, 520, 1, 0.0, 16.0),
    Case(4, 3, 3, 3, 1, "batch", "causal", 1, 1025, 0, 0.0, 1.0),
    Case(1, 1, 2, 2, 2, "batch", "centred", 9, 1030, 0, 0.0, 1.0),  # groups of several spans
]
# whose tiles stay in registers on chips with wgmma: 64 channels as padded, two or three taps; more
# than a program's rows, strides, phases, pairs, and a first block whose second convolution does
WALKS = [
    Case(1, 64, 3, 15, 16, "batch", "centred", 2, 60, 1, 0.1),
    Case(1, 64, 3, 15, 16, "batch", "centred", 2, 160, 1, 0.1, symmetric=True),
    Case(2, 50, 2, 2, 4, "batch", "causal", 3, 60, 0, 0.3),
    Case(0, 64, 3, 15, 32, "batch", "centred", 3, 40, 0, 0.1, symmetric=True),
    Case(3, 64, 3, 3, 1, "weight", "centred", 2, 150, 0, 0.1),
    Case(3, 64, 3, 3, 4, "batch", "centred", 300, 3, 0, 0.1),  # groups of programs' sums
]


def case_name(case):
    return "-".join(map(str, case))
