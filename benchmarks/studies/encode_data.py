"""The peak sets that encode-v1 was trained on, for benchmarks that need real labels."""

from __future__ import annotations

from pathlib import Path

from tcnfast.data.dataset import Dataset, open_dataset
from tcnfast.data.splits import read_split
from tcnfast.genome.genome import Genome, Region

ROOT = Path(__file__).resolve().parents[2]
MIN_PEAKS = 200  # training peaks a label needs


def load_dataset(data: Path, split_path: Path) -> tuple[Dataset, dict[str, list[Region]]]:
    """Labels of DREAM, and those of preciseTAD that DREAM lacks, with enough training peaks."""
    genome = Genome(data / "genome/hg19.chr20.fa.gz", data / "genome/hg19.chrX.first70M.fa.gz")
    split = read_split(split_path, genome.sizes)
    peaks = data / "peaks"
    dataset = open_dataset(
        genome,
        [
            peaks / "dream_conservative.hg19.chr20_X.bed.gz",
            peaks / "precisetad_gm12878_26tf.hg19.chr20_X.bed.gz",
        ],
        [peaks / "dream_relaxed.hg19.chr20_X.bed.gz"],
        peaks / "blacklist.hg19.chr20_X.bed.gz",
    )
    return dataset.drop_rare(split["train"], MIN_PEAKS)[0], split
