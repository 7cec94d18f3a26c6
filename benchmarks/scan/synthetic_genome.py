"""A genome of hg38's size to scan where hg38 is not at hand.

    python -m benchmarks.scan.synthetic_genome chr20.fa.gz chrX.fa.gz -o /big/disk/synthetic.fa
    python -m benchmarks.scan.synthetic_genome --random 1 --scale 0.02 -o small.fa

writes the 24 main contigs of hg38 by name and size (3,088,269,832 bp; `--scale` times that): the
given sequence, gaps and all, end to end again and again, each contig going on where the one before
ended; so calls and gaps are as dense as in what was given. Or, with `--random SEED`, letters that
are all as likely, without gaps. `--twobit FILE` also writes them as .2bit, by `tcnfast index`.

An existing file of the right length is left as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tcnfast.cli import main as tcnfast
from tcnfast.genome.genome import Genome

# UCSC hg38.chrom.sizes
LENGTHS = """
248956422 242193529 198295559 190214555 181538259 170805979 159345973 145138636 138394717 133797422
135086622 133275309 114364328 107043718 101991189 90338345 83257441 80373285 58617616 64444167
46709983 50818468 156040895 57227415
"""
NAMES = [f"chr{name}" for name in (*range(1, 23), "X", "Y")]
HG38 = dict(zip(NAMES, map(int, LENGTHS.split()), strict=True))
WIDTH = 60  # letters of a line
AT_ONCE = WIDTH * 2**19  # letters in memory, beside what is tiled
LETTERS = np.frombuffer(b"ACGTN", np.uint8)
Letters = Callable[[int], np.ndarray]  # the next so many


def sizes(scale: float) -> dict[str, int]:
    return {name: max(1, round(size * scale)) for name, size in HG38.items()}


def file_size(contigs: dict[str, int]) -> int:
    """Bytes of the FASTA file."""
    return sum(len(name) + 2 + size + -(-size // WIDTH) for name, size in contigs.items())


def tiled(paths: list[Path]) -> Letters:
    """The contigs of FASTA files, end to end, over and over."""
    with Genome(*paths) as genome:
        source = np.concatenate([LETTERS[genome.codes(chrom)] for chrom in genome.sizes])
    at = 0

    def take(n: int) -> np.ndarray:
        nonlocal at
        out = np.empty(n, np.uint8)
        done = 0
        while done < n:
            part = source[at : at + n - done]
            out[done : done + len(part)] = part
            done, at = done + len(part), (at + len(part)) % len(source)
        return out

    return take


def drawn(seed: int) -> Letters:
    generator = np.random.default_rng(seed)
    return lambda n: LETTERS[generator.integers(0, 4, n, np.uint8)]


def lines(letters: np.ndarray) -> Iterator[np.ndarray]:
    """Bytes of lines; all but the last are full."""
    full = len(letters) - len(letters) % WIDTH
    block = np.full((full // WIDTH, WIDTH + 1), ord("\n"), np.uint8)
    block[:, :WIDTH] = letters[:full].reshape(-1, WIDTH)
    yield block
    if full < len(letters):
        yield np.append(letters[full:], np.uint8(ord("\n")))


def write(path: Path, contigs: dict[str, int], letters: Letters) -> None:
    """Under another name first."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        for name, size in contigs.items():
            file.write(f">{name}\n".encode())
            for at in range(0, size, AT_ONCE):
                for part in lines(letters(min(AT_ONCE, size - at))):
                    file.write(part)
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a genome of hg38's contigs and sizes")
    parser.add_argument("fasta", nargs="*", type=Path, help="real sequence to tile")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FASTA")
    parser.add_argument("--twobit", type=Path, metavar="FILE", help="write this .2bit too")
    parser.add_argument("--random", type=int, metavar="SEED", help="random letters in its place")
    parser.add_argument("--scale", type=float, default=1, help="of every size (default 1)")
    args = parser.parse_args()
    if bool(args.fasta) == (args.random is not None):
        parser.error("give either FASTA files to tile or --random SEED")
    contigs = sizes(args.scale)
    if args.output.exists() and args.output.stat().st_size == file_size(contigs):
        print(f"{args.output}: is there already")
    else:
        letters = drawn(args.random) if args.random is not None else tiled(args.fasta)
        write(args.output, contigs, letters)
        print(f"{args.output}: {sum(contigs.values())} bp in {len(contigs)} contigs")
    if args.twobit and not args.twobit.exists():
        raise SystemExit(tcnfast(["index", str(args.output), "-o", str(args.twobit)]))


if __name__ == "__main__":
    main()
