"""DNA to the pictures that a network reads, against image files: `python -m
benchmarks.studies.wavelet`, on windows of the example genome, one core (--threads).

Pictures: from codes to standardised float32 (n, 3, 224, 224). "matplotlib files" does as the
wavelet article did: ssqueezepy's transform of one sequence, drawn by matplotlib in turbo on 12 x 8
inches without axes, cropped and saved as PNG, read and resized by Pillow. (The article called
ssq_cwt, which also squeezes; here it is cwt, which does less.) "tcnfast" is
``WaveletNetwork.images`` with ``faithful``. Transform: moduli alone, where "ssqueezepy" takes all
windows in one call. Sides take turns; moduli must agree to 1e-4 of their maximum, and how far the
pictures differ is told. Medians, in seconds of the processor: this machine is shared.
"""

from __future__ import annotations

import io
import os

os.environ.setdefault("SSQ_PARALLEL", "0")  # as many threads as the other side: one

import numpy as np
import ssqueezepy
import torch
from PIL import Image

import tcnfast
from benchmarks.harness import GENOME, PROCESSOR, compare, parser, report
from tcnfast.windows.resnet import PICTURE_STD
from tcnfast.windows.wavelet_network import WaveletNetwork
from tcnfast.windows.wavelets import modulus

FIRST, APART = 500_000, 5_000
MEAN = (0.485, 0.485, 0.406)  # the article's
TOLERANCE = 1e-4


def windows(count: int, width: int) -> np.ndarray:
    """uint8 (count, width) of real sequence without N."""
    with tcnfast.Genome(GENOME) as genome:
        (chrom,) = genome.sizes
        starts = range(FIRST, FIRST + count * APART, APART)
        return np.stack([genome.codes(chrom, start, start + width) for start in starts])


def through_files(codes: np.ndarray) -> np.ndarray:
    """float32 (n, 3, 224, 224), each by way of a PNG file (in memory: no disk is waited for)."""
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    out = []
    for window in codes:
        transform, _ = ssqueezepy.cwt(window + 1.0)
        figure, axes = pyplot.subplots(figsize=(12, 8))
        axes.imshow(np.abs(transform), cmap="turbo", aspect="auto")
        axes.axis("off")
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0)
        pyplot.close(figure)
        picture = Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        scaled = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
        mean, std = (np.array(x, np.float32)[:, None, None] for x in (MEAN, PICTURE_STD))
        out.append((scaled - mean) / std)
    return np.stack(out)


def main() -> None:
    flags = parser(__doc__, rounds=5)
    flags.add_argument("--windows", type=int, default=64)
    flags.add_argument("--width", type=int, default=200)
    flags.add_argument("--threads", type=int, default=1)
    args = flags.parse_args()
    torch.set_num_threads(args.threads)
    codes = windows(args.windows, args.width)
    x = torch.from_numpy(codes)
    network = WaveletNetwork(["any"], args.width, depth=10, width=1, faithful=True)
    case = f"{args.windows} windows of {args.width} bp"

    sides = {
        "ssqueezepy": lambda: np.abs(ssqueezepy.cwt(codes + 1.0)[0]),
        "tcnfast": lambda: modulus(x.double() + 1).numpy(),
    }
    given, seconds = compare(sides, args.rounds, PROCESSOR)
    theirs, ours = given.values()
    worst = np.abs(ours - theirs).max() / theirs.max()
    if not worst <= TOLERANCE:
        raise SystemExit(f"wavelet: moduli differ by {worst:.2g} of their maximum")
    report("wavelet", f"transform, {case}", seconds, "ssqueezepy", args.dry)
    print(f"  largest difference {worst:.2g} of the maximum")

    sides = {
        "matplotlib files": lambda: through_files(codes),
        "tcnfast": lambda: network.images(x).numpy(),
    }
    given, seconds = compare(sides, args.rounds, PROCESSOR)
    report("wavelet", f"pictures, {case}", seconds, "matplotlib files", args.dry)
    scale = np.array(PICTURE_STD)[:, None, None] * 255
    theirs, ours = (images * scale for images in given.values())
    alike = np.mean(
        [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(theirs, ours, strict=True)]
    )
    print(
        f"  pictures differ by {np.abs(theirs - ours).mean():.1f} of 255 in the mean, r {alike:.4f}"
    )


if __name__ == "__main__":
    main()
