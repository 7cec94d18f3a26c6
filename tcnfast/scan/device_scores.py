"""What a device of its own keeps of a batch's scores until hits and tracks go to the host: features
and counts of hits, where kernels find hits without logits; else logits."""

from __future__ import annotations

import torch
from torch import Tensor

from ..engines.hit_finder import ROWS, HitFinder
from .pieces import Wanted, Window
from .track_shards import BEGINS, NOTHING

Found = list[Tensor]  # places int64 (hits,), values float32 (hits,), and tracks if there are any


class Logits:
    """Logits (B, steps, labels), of which hits and tracks are taken by PyTorch."""

    def __init__(self, scorer, wanted: Wanted, window: Window) -> None:
        device = scorer.plan.device
        self._scorer, self._window = scorer, window
        self._cutoffs = on_device(wanted.cutoffs, torch.float32, device)
        self._columns = on_device(wanted.columns, torch.int64, device)
        self._tracks = Tracks(wanted, device)

    @staticmethod
    def stored(labels: int, _tracked: int) -> int:
        """Numbers of float32 that are kept of a step."""
        return labels

    def score(self, codes: Tensor, unknown: Tensor, length: int) -> list[Tensor]:
        """uint8 codes (B, T), unknown bool (B, steps), ``length`` steps at a time."""
        parts = [
            self._scorer.scores(part) for _, _, part in pieces(codes, unknown, self._window, length)
        ]
        logits = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        first = logits[:, 0].clone()
        return [logits.masked_fill_(unknown[..., None], torch.nan), first]

    def gap(self, unknown: Tensor) -> list[Tensor]:
        """Where no step has a score, at no cost."""
        shape = (*unknown.shape, len(self._cutoffs))
        return [torch.full(shape, torch.nan, device=unknown.device)]

    @staticmethod
    def first(scores: list[Tensor]) -> Tensor | None:
        """Logits (B, labels) of the first step of each sequence, known or not; None of a gap."""
        return scores[1] if len(scores) > 1 else None

    def found(self, scores: list[Tensor], n: int, length: int) -> Found:
        """Of sequence ``n``, ``length`` steps at a time."""
        logits, parts = scores[0][n], []
        for first, last in cut(len(logits), length):
            part = logits[first:last]
            at = (part >= self._cutoffs).flatten().nonzero().squeeze(1)
            found = [at + first * logits.shape[1], part.flatten()[at]]
            if len(self._columns):
                found.append(self._tracks(part[:, self._columns]))
            parts.append(found)
        return joined(parts)

    @staticmethod
    def tensors(scores: list[Tensor]) -> list[Tensor]:
        """All of a batch's that lie on the device."""
        return scores


class Counts:
    """Features, and how many hits each step has: ``engines.hit_finder`` finds them."""

    def __init__(self, scorer, wanted: Wanted, window: Window) -> None:
        self._finder = HitFinder(scorer.plans, wanted.cutoffs, wanted.columns)
        self._labels, self._window = len(wanted.cutoffs), window
        self._tracks = Tracks(wanted, scorer.plan.device)

    @staticmethod
    def stored(_labels: int, tracked: int) -> int:
        return max(1, tracked)

    def score(self, codes: Tensor, unknown: Tensor, length: int) -> list:
        return [
            (first, self._finder.score(part, unknown[:, first:last].contiguous()))
            for first, last, part in pieces(codes, unknown, self._window, length)
        ]

    def gap(self, unknown: Tensor) -> list:
        return [(0, self._finder.gap(unknown))]

    def first(self, scores: list) -> Tensor | None:
        """Logits (B, labels) of the first step of each sequence, known or not; None of a gap."""
        return self._finder.first(scores[0][1])

    def found(self, scores: list, n: int, length: int) -> Found:
        parts, length = [], max(ROWS, length // ROWS * ROWS)
        for begin, counted in scores:
            for first, last in cut(counted.steps, length):
                at, values = self._finder.write(counted, n, first, last)
                found = [at.add_(begin * self._labels), values]
                if counted.tracks is not None:
                    found.append(self._tracks(counted.tracks[n, first:last]))
                parts.append(found)
        return joined(parts)

    @staticmethod
    def tensors(scores: list) -> list[Tensor]:
        return [tensor for _, counted in scores for tensor in counted.tensors]


class Tracks:
    """Logits (steps, tracked) as tracks have them: themselves, or levels of ``track_shards``."""

    def __init__(self, wanted: Wanted, device: torch.device) -> None:
        self._levels = wanted.levels
        self._floors = on_device(wanted.floors, torch.float32, device)
        self._begins = on_device(BEGINS[:-1], torch.float32, device)

    def __call__(self, logits: Tensor) -> Tensor:
        if not self._levels:
            return logits
        levels = torch.bucketize(logits, self._begins, out_int32=True, right=True)
        return levels.to(torch.uint8).masked_fill_(~(logits >= self._floors), NOTHING)


def scores_of(scorer, wanted: Wanted, window: Window) -> Logits | Counts:
    """The way that the scorer's plans allow."""
    kind = Counts if HitFinder.why_not(scorer.plans) is None else Logits
    return kind(scorer, wanted, window)


def pieces(codes: Tensor, unknown: Tensor, window: Window, length: int):
    """[first, last) steps of pieces of ``length``, and their codes (B, T)."""
    steps = unknown.shape[1]
    for first, last in cut(steps, length):
        part = codes
        if last - first < steps:
            part = codes[:, first * window.stride :][:, : window.length(last - first)].contiguous()
        yield first, last, part


def cut(steps: int, length: int) -> list[tuple[int, int]]:
    """[first, last) of pieces of ``length`` steps; one empty piece of nothing."""
    return [(at, min(at + length, steps)) for at in range(0, max(steps, 1), length)]


def joined(parts: list[Found]) -> Found:
    return [torch.cat(tensors) for tensors in zip(*parts, strict=True)]


def on_device(values, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.as_tensor(values).to(dtype).contiguous().to(device)
