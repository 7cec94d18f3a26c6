"""The fastest of the other runtimes of cpu_sides.py on a given stack of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from benchmarks.harness import PROCESSOR
from benchmarks.kernels.cpu import scorer
from benchmarks.kernels.cpu_sides import Side, all_sides, missing
from tcnfast.engines.reference import StackWeights
from tcnfast.model.tcn_config import TCNConfig

SEGMENTS = (2**13, 2**14, 2**15, 2**16)
COMPILED = 2**14  # of torch.compile, which takes long for each


@dataclass(frozen=True)
class Network:
    """Folded weights where cpu_sides.py asks for a model."""

    config: TCNConfig
    weights: StackWeights

    def folded(self) -> StackWeights:
        return self.weights

    @property
    def receptive_field(self) -> int:
        return self.config.receptive_field

    @property
    def labels(self) -> list[str]:
        return self.config.labels


@dataclass(frozen=True)
class Other:
    """A runtime and the length of its segments."""

    key: str
    segment: int

    def scorer(self, network: Network) -> Callable[[Tensor], Tensor]:
        """Codes (T,) to logits (P, labels)."""
        (side,) = (side for side in sides_of(network) if side.key == self.key)
        return scorer(network, side, self.segment)


def sides_of(network: Network) -> list[Side]:
    return [side for side in all_sides(network, everybody=True) if side.isa is None]


def fastest_other(network: Network, form: str, precision: str, codes: Tensor) -> Other:
    """Of those that are installed, on codes (T,), by their processor time; prints all."""
    times = {}
    for side in sides_of(network):
        if (side.form, side.precision) != (form, precision):
            continue
        if library := missing(side):
            print(f"left out: {side.key}: {library} is not installed")
            continue
        bases = len(codes) - network.receptive_field + side.stride
        for segment in (COMPILED,) if side.twin else SEGMENTS:
            if segment > bases:
                continue
            score = partial(scorer(network, side, segment), codes)
            score()
            times[side.key, segment] = min(PROCESSOR.called(score) for _ in range(2))
    for (key, segment), seconds in sorted(times.items(), key=lambda item: item[1])[:6]:
        print(f"{key}, segments of {segment}: {seconds:.4g} s")
    return Other(*min(times, key=times.get))
