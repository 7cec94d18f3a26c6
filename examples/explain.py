"""Why does the bundled model call these sites? From a piece of genome to a page about it: scan,
attributions at the calls, motifs in them, report.

Data: hg19 chr20:34,000,001-36,000,000 with ENCODE peaks; see examples/data/README.md. The model was
never trained on it. Needs the extra motifs: pip install 'tcnfast[motifs]'.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import tcnfast
from tcnfast.base.verb import DEFAULT_MODEL

DATA = Path(__file__).parent / "data"
GENOME = DATA / "chr20_34-36Mb.fa.gz"
PEAKS = DATA / "chr20_34-36Mb.peaks.bed.gz"
LABELS = ["CTCF@K562", "CTCF@MCF-7", "RAD21@GM12878", "CEBPB@HepG2"]

# two megabases hold a hundred calls of a label: a genome would leave these two alone
FEW = {"min_metacluster_size": 20, "final_min_cluster_size": 10}


def main(argv: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL)
    parser.add_argument("-o", "--output", type=Path, default=Path("explained"))
    parser.add_argument("-t", "--targets", type=lambda text: text.split(","), default=LABELS)
    parser.add_argument("--top", type=int, default=200, help="calls of each label, the best first")
    parser.add_argument("--steps", type=int, default=10, help="of integrated gradients")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="tcnfast: %(message)s")
    args.output.mkdir(exist_ok=True)
    scan = tcnfast.scan(GENOME, args.model, args.output / "scan", targets=args.targets, force=True)
    explained = tcnfast.attribute(
        GENOME,
        args.model,
        args.output / "attributions",
        scan=scan.path,
        targets=args.targets,
        top=args.top,
        baseline="gc",
        steps=args.steps,
        force=True,
    )
    found = tcnfast.motifs(explained.path, args.output / "motifs", force=True, **FEW)
    columns = ["label", "match_name", "seqlets", "q"]
    print(found.motifs[columns].to_string(index=False, na_rep="-", float_format="{:.0e}".format))
    page = tcnfast.report(
        [scan.path, explained.path, found.path],
        args.model,
        args.output / "report.html",
        genome=GENOME,
        peaks=PEAKS,
        force=True,
    )
    print(f"Open {page} in a browser.")
    return page


if __name__ == "__main__":
    main()
