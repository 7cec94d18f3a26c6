"""A lab whose genome has blocks of GC, with peaks of six labels in the rich ones, and a recipe."""

import json

import bioframe
import numpy as np
import pandas as pd

from tcnfast.windows.window_set import WindowSet

SIZES = {"chr1": 400_000, "chr2": 120_000, "chr3": 120_000}
SPLIT = {"train": ["chr1"], "valid": ["chr2"], "test": ["chr3:1-100000"]}
LABELS = ["A@one", "B@one", "A@two", "C@two"]  # those of the recipe; D@four has peaks of its own
GAP = (200_000, 210_000)
BLOCK = 3_000
RECIPE = {
    "name": "small",
    "labels": LABELS,
    "negatives": {"gc": 0.5, "flank": 0.5, "elsewhere": 0.25, "shuffle": 0.25},
    "min_peaks": 20,
}


def blocky_letters(size, seed):
    """Letters, and the GC of each block of them."""
    rng = np.random.default_rng(seed)
    gc = rng.uniform(0.3, 0.65, -(-size // BLOCK))
    rich = rng.random(size) < np.repeat(gc, BLOCK)[:size]
    letters = np.where(rich, rng.choice(list(b"CG"), size), rng.choice(list(b"AT"), size))
    return letters.astype(np.uint8), gc


def peak_rows(rng, centres, share):
    """Peaks around a share of ``centres`` (chrom, position), shifted by up to 60 bases."""
    rows = []
    for chrom, centre in centres:
        if rng.random() < share:
            start = max(0, centre - int(rng.integers(30, 260)))
            end = min(SIZES[chrom], centre + int(rng.integers(30, 260)))
            summit = int(np.clip(centre + rng.integers(-60, 61), start, end - 1))
            rows.append((chrom, start, end, summit))
    return rows


def recipe_file(lab, name="recipe.json", **values):
    """A file with RECIPE, changed by ``values``; those that are None are taken out."""
    recipe = {key: value for key, value in (RECIPE | values).items() if value is not None}
    (lab.folder / name).write_text(json.dumps(recipe))
    return lab.folder / name


def window_words(lab, recipe, *more, split="split.json"):
    peaks, relaxed = lab.folder / "peaks.bed", lab.folder / "relaxed.bed"
    tables = ["--peaks", peaks, "--ambiguous", relaxed, "--blacklist", lab.folder / "blacklist.bed"]
    return prepare_words(lab, recipe, *tables, "-o", "set", *more, split=split)


def prepare_words(lab, recipe, *more, split="split.json"):
    genome, split = lab.folder / "g.fa", lab.folder / split
    return ["windows", "prepare", recipe, "-g", genome, "--split", split, *more]


def built(run, lab, recipe=None, *more):
    """The set that the command makes, and what it says on stderr."""
    code, _, err = run(*window_words(lab, recipe or recipe_file(lab), *more))
    assert code == 0, err
    return WindowSet.open("set"), err


def frame(rows):
    table = pd.DataFrame([row[:3] for row in rows], columns=["chrom", "start", "end"])
    return table.astype({"chrom": object, "start": np.int64, "end": np.int64})


def spans(windows, keep=None, core=None):
    """Windows, or the ``core`` bases in their middle, as a table."""
    made = windows if keep is None else windows.take(keep)
    start = made.start if core is None else made.start + made.length // 2 - core // 2
    chrom = np.array(made.chroms, object)[made.chrom]
    return frame(zip(chrom, start, start + (core or made.length), strict=True))


def touches(table, rows):
    return bioframe.count_overlaps(table, frame(rows))["count"].to_numpy() > 0


def naive_sites(lab, merge=100):
    """Middles of the sites, one summit after the other."""
    found = {}
    for chrom in SIZES:
        summits = sorted(m for x in LABELS for c, _, _, m in lab.peaks[x] if c == chrom)
        groups = [[summits[0]]]
        for summit in summits[1:]:
            if summit - groups[-1][-1] <= merge:
                groups[-1].append(summit)
            else:
                groups.append([summit])
        found[chrom] = [group[(len(group) - 1) // 2] for group in groups]
    return found
