"""Does a gapped k-mer SVM weigh the middle of a window because the sites lie there, or because its
kernel says so?

Machines without and with centre weighting are trained on windows cut around the sites, on windows
moved at random, and on the first ones with their labels shuffled. Then every bound window of the
validation part is taken apart by position. Wants a window set of one label whose windows are longer
than those to be cut by twice the largest move, for instance of 300 bases:

    tcnfast windows prepare recipe.json -g genome.fa --peaks peaks.bed --split split.json -o set/
    python examples/gkm_centre.py set/ -o centre/

Writes summary.tsv, positions.tsv and gkm_centre.png.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tcnfast.base.errors import TcnfastError
from tcnfast.genome.labels import BOUND
from tcnfast.model.metrics import score_labels
from tcnfast.windows.figures import bare, new_figure
from tcnfast.windows.gkm_svm import GkmSVM
from tcnfast.windows.window_config import WindowConfig, network_shape
from tcnfast.windows.window_set import WindowSet

MIDDLE = 50  # bases around the middle of a window, or of a site


@dataclass(frozen=True)
class Picture:
    """What one machine, or the mean of several, makes of the bound validation windows.

    ``heat``: what the l-mer at each start adds to the score, float32 (windows, starts). ``moved``:
    bases from the middle of a window to its site, int64 (windows,).
    """

    weighting: str
    windows: str
    auroc: float
    heat: np.ndarray
    moved: np.ndarray
    weights: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """From the middle of the window to that of the l-mer at each start, float64 (starts,)."""
        starts = self.heat.shape[1]
        return np.arange(starts) - (starts - 1) / 2

    def share(self, at_site: bool = False, plain: bool = False) -> float:
        """Of all that l-mers add (what they take away left out), what those whose middle is in the
        MIDDLE bases of the window add, or in those around the site. ``plain``: with the kernel's
        weights of positions divided out."""
        gain = np.maximum(self.heat / self.weights if plain else self.heat, 0)
        offsets = self.offsets - (self.moved[:, None] if at_site else np.zeros((len(gain), 1)))
        return float(gain[np.abs(offsets) <= MIDDLE / 2].sum() / gain.sum())

    def built_in(self) -> float:
        """The share of windows whose l-mers are all alike: of the weights themselves."""
        near = np.abs(self.offsets) <= MIDDLE / 2
        return float(self.weights[near].sum() / self.weights.sum())


def cut(windows: WindowSet, length: int, shift: int, seed: int) -> tuple[WindowSet, np.ndarray]:
    """Windows of ``length`` from the middle of longer ones, each moved by up to ``shift`` bases;
    and where that leaves their sites, bases from the middle, int64 (n,)."""
    spare = windows.length - length
    if spare < 2 * shift:
        raise TcnfastError(
            f"{windows.name}: windows of {windows.length} bases; cutting {length} "
            f"moved by {shift} takes {length + 2 * shift}"
        )
    moves = np.random.default_rng(seed).integers(-shift, shift + 1, len(windows))
    starts = spare // 2 + moves
    codes = windows.codes[np.arange(len(windows))[:, None], starts[:, None] + np.arange(length)]
    start = np.where(windows.start < 0, windows.start, windows.start + starts)
    return replace(windows, codes=codes, start=start), -moves


def look(weighting: str, words: str, parts, seed: int, shape: dict) -> Picture:
    (train, _), (valid, moved) = parts
    model = GkmSVM(train.names, train.length, weighting=weighting, **shape)
    model.fit(train, valid, WindowConfig(seed=seed))
    with torch.no_grad():
        logits = model(torch.from_numpy(valid.codes)).numpy()
    auroc = float(score_labels(valid.names, logits, valid.labels).auroc[0])
    bound = valid.labels[:, 0] == BOUND
    heat = model.contributions(valid.codes[bound])[:, 0]
    order = np.argsort(-logits[bound, 0], kind="stable")
    weights = model.kernel.position_weights(valid.length)
    return Picture(weighting, words, auroc, heat[order], moved[bound][order], weights)


def shuffled(windows: WindowSet, seed: int) -> WindowSet:
    order = np.random.default_rng(seed).permutation(len(windows))
    return replace(windows, labels=windows.labels[order])


def pictures(windows: WindowSet, length: int, shift: int, repeats: int, shape: dict):
    """Pictures of all machines, the shuffled ones ``repeats`` times."""
    train, valid = windows.select("train"), windows.select("valid")
    centred = cut(train, length, 0, 1), cut(valid, length, 0, 2)
    moved = cut(train, length, shift, 1), cut(valid, length, shift, 2)
    for weighting in ("none", "centre"):
        yield look(weighting, "centred", centred, 0, shape)
        yield look(weighting, "moved", moved, 0, shape)
        for seed in range(repeats):
            null = (shuffled(centred[0][0], seed), None), centred[1]
            yield look(weighting, "labels shuffled", null, seed, shape)


def write_tables(found: list[Picture], folder: Path) -> None:
    lines = [
        [
            "weighting",
            "windows",
            "auroc",
            "share_middle",
            "share_site",
            "share_middle_plain",
            "share_built_in",
        ]
    ]
    for x in found:
        values = (x.auroc, x.share(), x.share(at_site=True), x.share(plain=True), x.built_in())
        lines.append([x.weighting, x.windows, *(f"{value:.3f}" for value in values)])
    text = "\n".join("\t".join(line) for line in lines) + "\n"
    (folder / "summary.tsv").write_text(text)
    print(text, end="")
    rows = ["weighting\twindows\toffset\tmean_contribution"]
    for x in found:
        rows += [
            f"{x.weighting}\t{x.windows}\t{offset:g}\t{value:.5g}"
            for offset, value in zip(x.offsets, x.heat.mean(0), strict=True)
        ]
    (folder / "positions.tsv").write_text("\n".join(rows) + "\n")


def draw(found: list[Picture], path: Path) -> None:
    """The article's picture: windows by positions, z-scores; under it the mean over windows."""
    shown = list({(x.weighting, x.windows): x for x in reversed(found)}.values())[::-1]
    figure = new_figure(2.6 * len(shown), 5)
    axes = figure.subplots(2, len(shown), height_ratios=(3, 1), sharex=True, squeeze=False)
    for x, (top, under) in zip(shown, axes.T, strict=True):
        z = (x.heat - x.heat.mean()) / x.heat.std()
        extent = (x.offsets[0], x.offsets[-1], len(z), 0)
        image = top.imshow(z, aspect="auto", cmap="RdBu_r", vmin=-5, vmax=5, extent=extent)
        top.set_title(f"weighting {x.weighting}\n{x.windows}", fontsize=9)
        under.plot(x.offsets, z.mean(0), lw=1)
        under.axhline(0, color="grey", lw=0.5)
        under.set_ylim(-0.5, 2.5)
        under.set_xlabel("bases from the middle", fontsize=8)
        bare(under)
    axes[0, 0].set_ylabel("bound validation windows, best first")
    axes[1, 0].set_ylabel("mean z-score")
    figure.colorbar(image, ax=axes[0], label="z-score of an l-mer's contribution")
    figure.savefig(path, dpi=150)


def main(argv: list[str] | None = None) -> list[Picture]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("windows", help="folder of tcnfast windows prepare")
    parser.add_argument("-o", "--output", type=Path, default=Path("gkm_centre"))
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--shift", type=int, default=50, help="largest move of a window")
    parser.add_argument("--repeats", type=int, default=3, help="machines on shuffled labels")
    words = "settings of gkm-svm, as for tcnfast windows train"
    parser.add_argument("--shape", type=network_shape, default={}, help=words)
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    windows = WindowSet.open(args.windows)
    found = list(pictures(windows, args.length, args.shift, args.repeats, args.shape))
    write_tables(found, args.output)
    draw(found, args.output / "gkm_centre.png")
    return found


if __name__ == "__main__":
    main()
