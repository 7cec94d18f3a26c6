"""Best placements of matrices that are being learned: any real weights, with gradients.

The rules are those of :mod:`placements`. A network needs a form of its own because its weights are
no whole units, and because gradients run through the best placement.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..genome.codes import N


def best_sums(codes: Tensor, weight: Tensor) -> Tensor:
    """The highest sum of each matrix over all placements and both strands, float32 (n, matrices).

    ``codes`` uint8 (n, L); ``weight`` float (matrices, 4, width). A placement with N counts for
    none; where there is no other, the sum is the lowest of the matrix.
    """
    # whole float32, whatever is asked of networks: 19 terms rounded to 8 bits rank sites badly
    with (
        torch.autocast(codes.device.type, enabled=False),
        torch.backends.cudnn.flags(allow_tf32=False),
    ):
        known = codes != N
        x = F.one_hot(codes.long(), 5)[..., :N].transpose(1, 2).to(weight.dtype)
        sums = F.conv1d(x, torch.cat([weight, weight.flip(1, 2)]))
        inside = torch.ones(1, 1, weight.shape[2], device=codes.device, dtype=weight.dtype)
        broken = F.conv1d((~known)[:, None].to(weight.dtype), inside) > 0
        best = sums.masked_fill(broken, -torch.inf).amax(2)
    best = torch.maximum(*best.split(len(weight), 1))
    return torch.where(best.isinf(), weight.amin(1).sum(1), best)
