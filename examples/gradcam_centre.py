"""Does Grad-CAM of a wavelet network look at the site, or at the middle of the picture?

The article behind these networks (Ruggeri 2025) saw its last layer attend to the middle of CTCF
windows, where their summits lie. So move the windows: the site is then off the centre by as much,
and attention that means it has to follow. Beside the trained network stand the same network with
random weights, whose "attention" is that of the architecture, and windows without a site. Any
network of ``--arch wavelet`` will do, from ImageNet weights, too, frozen or not
(``--shape '{"backbone": "efficientnet-lite0"}'``).

    tcnfast windows train sets/ctcf --arch wavelet -o wavelet/
    python examples/gradcam_centre.py wavelet/ sets/ctcf -g hg19.fa -o centre/

Takes bound windows of the validation part and writes centre.tsv, profiles.tsv and centre.svg.
"slope": by how many bases the profile's middle moves when the site moves one; 1 follows, 0 stays.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tcnfast.genome.genome import Genome
from tcnfast.genome.labels import BOUND, UNBOUND
from tcnfast.model.model_folder import ModelFolder
from tcnfast.windows.architectures import build
from tcnfast.windows.figures import COLOURS, bare, new_figure
from tcnfast.windows.grad_cam import GradCam
from tcnfast.windows.window_run import open_window_model
from tcnfast.windows.window_set import WindowSet

log = logging.getLogger("gradcam_centre")
BATCH = 32


@dataclass(frozen=True)
class Profiles:
    """Mean profile of each place of the site, float64 (shifts, L); ``middle`` and ``peak`` of every
    window, float64 (shifts, n), in bases from the middle of the window."""

    name: str
    mean: np.ndarray
    middle: np.ndarray
    peak: np.ndarray
    logit: np.ndarray  # mean over windows, float64 (shifts,)


def shifted_windows(windows: WindowSet, genome: Genome, places: np.ndarray) -> np.ndarray:
    """uint8 (places, n, L): windows whose old middle stands ``places`` bases behind their own."""
    out = np.empty((len(places), len(windows), windows.length), np.uint8)
    for i, place in enumerate(places):
        for row in range(len(windows)):
            start = int(windows.start[row]) - int(place)
            chrom = windows.chroms[windows.chrom[row]]
            out[i, row] = genome.codes(chrom, start, start + windows.length)
    return out


def profiles(name: str, cam: GradCam, codes: np.ndarray, label: int) -> Profiles:
    found, logits = [], []
    for windows in codes:
        parts = [
            cam.explain(windows[at : at + BATCH], [label])[0]
            for at in range(0, len(windows), BATCH)
        ]
        found.append(np.concatenate([part.hypothetical.sum(1) for part in parts]))
        logits.append(np.concatenate([part.logit for part in parts]).mean())
    values = np.stack(found).astype(np.float64)  # (places, n, L)
    total = values.sum(2, keepdims=True)
    known = total[..., 0] > 0  # a map that is below 0 everywhere says nothing
    share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    at = np.arange(values.shape[2]) - (values.shape[2] - 1) / 2
    middle = np.where(known, share @ at, np.nan)
    peak = np.where(known, at[values.argmax(2)], np.nan)
    mean = share.sum(1) / np.maximum(known.sum(1, keepdims=True), 1)
    log.info("%s: %.0f %% of the windows have a map", name, 100 * known.mean())
    return Profiles(name, mean, middle, peak, np.array(logits))


def summary(found: Profiles, places: np.ndarray) -> dict[str, float]:
    """Slopes, by least squares, and Pearson's r on where the site stands; how much of a profile the
    middle third holds where the site is there."""
    site = np.broadcast_to(places[:, None], found.middle.shape)
    row = {}
    for what in ("middle", "peak"):
        y = getattr(found, what)
        known = ~np.isnan(y)
        slope = np.polyfit(site[known], y[known], 1)[0] if known.any() else np.nan
        varies = known.any() and y[known].std() > 0
        row[f"slope_{what}"] = slope
        row[f"r_{what}"] = np.corrcoef(site[known], y[known])[0, 1] if varies else np.nan
    length = found.mean.shape[1]
    centred = found.mean[int(np.abs(places).argmin())]
    row["middle_third"] = centred[length // 3 : length - length // 3].sum()
    row["logit_centred"] = found.logit[int(np.abs(places).argmin())]
    row["logit_ends"] = found.logit[[0, -1]].mean()
    return row


def draw(all_found: list[Profiles], places: np.ndarray, path: Path) -> None:
    figure = new_figure(3.1 * len(all_found), 5.4)
    axes = figure.subplots(2, len(all_found), squeeze=False)
    half = all_found[0].mean.shape[1] / 2
    for (upper, lower), found in zip(axes.T, all_found, strict=True):
        upper.imshow(
            found.mean,
            aspect="auto",
            cmap="viridis",
            vmin=0,
            origin="lower",
            extent=(-half, half, -0.5, len(places) - 0.5),
        )
        upper.plot(places, range(len(places)), "o", color="white", ms=4, mfc="none")
        upper.set_yticks(range(len(places)), [f"{place:+d}" for place in places])
        upper.set_title(found.name, fontsize=9)
        lower.plot(places, places, color="#7a7a7a", lw=1, ls=":")
        for what, colour in zip(("middle", "peak"), COLOURS, strict=False):
            lower.plot(
                places, np.nanmean(getattr(found, what), 1), "o-", color=colour, ms=3, label=what
            )
        lower.set_ylim(places.min() - 5, places.max() + 5)
        lower.set_xlabel("where the site stands (bp)", fontsize=8)
        bare(lower)
    axes[0, 0].set_ylabel("where the site stands (bp)", fontsize=8)
    axes[1, 0].set_ylabel("mean place of the profile (bp)", fontsize=8)
    axes[1, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def random_twin(folder: Path, train: WindowSet, seed: int) -> torch.nn.Module:
    """A network of the same settings before its first step, from random weights."""
    kind, labels = ModelFolder(folder).config, ModelFolder(folder).labels
    torch.manual_seed(seed)
    shape = {**kind["shape"], "weights": "random"}
    twin = build(kind["arch"], labels, kind["length"], kind["mapping"], shape)
    twin.start(train, seed)
    return twin.eval()


def chosen(windows: WindowSet, label: str, state: int, top: int) -> WindowSet:
    """The first ``top`` windows of ``state`` of a label that have coordinates."""
    column = windows.labels[:, windows.names.index(label)]
    return windows.take(np.flatnonzero((column == state) & (windows.start >= 0))[:top])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("windows", type=Path)
    parser.add_argument("-g", "--genome", nargs="+", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-l", "--label", help="default: the first of the model")
    parser.add_argument("--layers", type=lambda text: tuple(text.split(",")), default=())
    parser.add_argument("--reach", type=int, default=60, help="bases a site is moved at most")
    parser.add_argument("--step", type=int, default=20)
    parser.add_argument("--top", type=int, default=100, help="windows of each kind")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not args.output.parent.exists():
        parser.error(f"{args.output.parent}: no such folder")
    args.output.mkdir(exist_ok=True)
    model, whole = open_window_model(args.model), WindowSet.open(args.windows)
    label = args.label or model.labels[0]
    valid, places = whole.select("valid"), np.arange(-args.reach, args.reach + 1, args.step)
    twin = random_twin(args.model, whole.select("train"), seed=1)
    cases = {
        "trained, sites": (model, BOUND),
        "random weights, sites": (twin, BOUND),
        "trained, no site": (model, UNBOUND),
    }
    found = []
    with Genome(*args.genome) as genome:
        for name, (network, state) in cases.items():
            cam = GradCam(network, args.layers)
            windows = chosen(valid, label, state, args.top)
            codes = shifted_windows(windows, genome, places)
            found.append(profiles(name, cam, codes, cam.labels.index(label)))
    write(found, places, args.output)
    draw(found, places, args.output / "centre.svg")


def write(all_found: list[Profiles], places: np.ndarray, folder: Path) -> None:
    rows = {found.name: summary(found, places) for found in all_found}
    columns = list(next(iter(rows.values())))
    lines = ["\t".join(["windows", *columns])]
    lines += ["\t".join([name, *(f"{row[c]:.3f}" for c in columns)]) for name, row in rows.items()]
    (folder / "centre.tsv").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    with open(folder / "profiles.tsv", "w") as out:
        out.write(
            "windows\tsite_at\t" + "\t".join(map(str, range(all_found[0].mean.shape[1]))) + "\n"
        )
        for found in all_found:
            for place, mean in zip(places, found.mean, strict=True):
                out.write(f"{found.name}\t{place}\t" + "\t".join(f"{x:.5f}" for x in mean) + "\n")


if __name__ == "__main__":
    main()
