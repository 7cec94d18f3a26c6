"""The chip that the Triton kernels run on."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass

import torch

H100_SHARED = 232_448  # bytes a program may have there; what the interpreter takes for granted
INTERPRETED = 1 << 20  # multiprocessors: rows as short as they may be


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def version_of(package: str) -> tuple[int, ...]:
    """Of an installed package, its first two numbers."""
    return tuple(map(int, importlib.metadata.version(package).split(".")[:2]))


@dataclass(frozen=True)
class Chip:
    """What the shapes of tiles depend on."""

    multiprocessors: int
    shared: int  # bytes a program may have
    wgmma: bool  # matrix instructions of 64 rows by four warps; else of 16 rows by one

    @classmethod
    def of(cls, device: torch.device) -> Chip:
        if device.type != "cuda":
            return cls(INTERPRETED, H100_SHARED, True)
        properties = torch.cuda.get_device_properties(device)
        shared = properties.shared_memory_per_block_optin
        return cls(properties.multi_processor_count, shared, properties.major == 9)

    @property
    def packed(self) -> bool:
        """Whether it compares two numbers of 16 bits at a time, by an instruction of PTX."""
        return self.wgmma and not interpreted()

    @property
    def tile_rows(self) -> int:
        """Rows of a tile by four warps: with 64 rows the registers of other chips overflow
        (tests/kernel_resources.tsv)."""
        return 64 if self.wgmma else 32
