"""``tcnfast cobind``: which factors bind together, and through which motifs."""

from __future__ import annotations

import argparse

from .flags import command, flags, names, positive, require


def add(commands) -> None:
    words = "factors that bind together: from peaks and calls, from inserted motifs, at real sites"
    forms = commands.add_parser("cobind", help=words, description=words).add_subparsers(
        dest="command", required=True, metavar="FORM"
    )
    _add_pairs(forms)
    _add_motifs(forms)
    _add_sites(forms)


def _add_pairs(forms) -> None:
    words = "which labels lie together more often than by chance: tables, heat maps, networks"
    parents = [flags("output", "data")]
    parser = command(forms, "pairs", run_pairs, parents, help=words, description=words)
    add = parser.add_argument
    add("--scan", metavar="DIR", help="folder of tcnfast scan: its calls, as predicted pairs")
    add("-t", "--targets", type=names, metavar="LABELS", help="labels to look at (default all)")
    words = "stay in this part of the split (default: all contigs that have peaks)"
    add("--part", choices=("train", "valid", "test"), help=words)
    words = "two labels meet where they bind one bin of this many bases (default 200)"
    add("--bin", type=positive, default=200, metavar="BP", help=words)
    words = "what changes places under the nulls that keep GC, a multiple of --bin (default 1000)"
    add("--block", type=positive, default=1000, metavar="BP", help=words)
    words = "replicates of each null (default 1000)"
    add("--replicates", type=positive, default=1000, metavar="N", help=words)
    words = "leave out labels of fewer bound bins (default 20)"
    add("--min-sites", type=positive, default=20, metavar="N", help=words)
    words = "largest q, under every null, of an edge of the network (default 0.05)"
    add("--fdr", type=float, default=0.05, metavar="Q", help=words)
    words = "least observed over expected, under the strictest null, of an edge (default 1.5)"
    add("--fold", type=float, default=1.5, metavar="X", help=words)
    add("--seed", type=int, default=0, metavar="N", help="of the replicates (default 0)")


def run_pairs(args: argparse.Namespace) -> None:
    require(args, "output")
    others = ("genome", "peaks", "split", "blacklist")
    for name in others if args.data is not None else ():
        if getattr(args, name):
            args.parser.error(f"--{name}: --data has it already; give one of the two")
    if args.ambiguous:
        args.parser.error("--ambiguous: co-occurrence counts bound peaks only")
    from ..cobind.cobinding import PairsOptions, co_occurrence

    data = {name: getattr(args, name) for name in ("data", *others) if getattr(args, name)}
    numbers = ("part", "bin", "block", "replicates", "seed", "min_sites", "fdr", "fold")
    options = {name: getattr(args, name) for name in numbers}
    targets = None if args.targets is None else tuple(args.targets)
    options = PairsOptions(targets=targets, **options)
    co_occurrence(data, args.output, args.scan, options, force=args.force)


def _add_motifs(forms) -> None:
    words = "pairs of motifs inserted at all gaps, orders and orientations: do they cooperate?"
    parents = [flags("output", "device")]
    parser = command(forms, "motifs", run_motifs, parents, help=words, description=words)
    _model_flags(parser.add_argument)
    add = parser.add_argument
    words = "backgrounds are drawn from these (default: random sequence)"
    add("-g", "--genome", nargs="+", default=[], metavar="FASTA", help=words)
    words = "all pairs of these motifs, by name or id"
    add("--names", type=names, metavar="MOTIFS", help=words)
    words = "these pairs, as CTCF+ZNF143,MAX+SP1"
    add("--pairs", type=_pairs, metavar="PAIRS", help=words)
    words = "else all pairs of the N motifs that change the model's logits most (default 6)"
    add("--top", type=positive, default=6, metavar="N", help=words)
    words = (
        "windows of the genome with their dinucleotides shuffled, or as they are, or independent "
        "bases (default shuffled with --genome, else random)"
    )
    add("--background", choices=("shuffled", "genome", "random"), help=words)
    words = "backgrounds: half choose the best gap, half measure it (default 50)"
    add("--backgrounds", type=positive, default=50, metavar="N", help=words)
    add("--max-gap", type=int, default=100, metavar="BP", help="between the sites (default 100)")
    words = "synergy: an interaction whose whole interval is larger; additive: smaller (default 1)"
    add("--margin", type=float, default=1.0, metavar="LOGITS", help=words)
    add("--seed", type=int, default=0, metavar="N", help="of the backgrounds (default 0)")


def run_motifs(args: argparse.Namespace) -> None:
    require(args, "output")
    from ..cobind.cobinding import CooperationOptions, motif_cooperation

    options = CooperationOptions(
        names=None if args.names is None else tuple(args.names),
        pairs=args.pairs,
        **{name: getattr(args, name) for name in
           ("top", "background", "backgrounds", "max_gap", "margin", "seed")},
    )  # fmt: skip
    motif_cooperation(
        args.model, args.motifs, args.output, args.genome, options, **_run_flags(args)
    )


def _model_flags(add) -> None:
    words = "model folder or bundled name (default encode-v1)"
    add("-m", "--model", default="encode-v1", help=words)
    words = "MEME file or folder of tcnfast motifs (default JASPAR 2024 vertebrates, bundled)"
    add("--motifs", metavar="MEME|DIR", help=words)
    add("--backend", default="auto", help="auto, triton, cpu or reference (default auto)")


def _run_flags(args: argparse.Namespace) -> dict:
    return {
        "device": args.device,
        "precision": args.precision,
        "backend": args.backend,
        "force": args.force,
        "progress": not (args.quiet or args.no_progress),
    }


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple(tuple(pair.split("+")) for pair in names(text))
    if not pairs or any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise argparse.ArgumentTypeError(f"{text}: write two motifs with + between, as CTCF+SP1")
    return pairs


def _add_sites(forms) -> None:
    words = "at real sites: how far does a label fall when a motif there is scrambled?"
    parents = [flags("output", "device")]
    parser = command(forms, "sites", run_sites, parents, help=words, description=words)
    _model_flags(parser.add_argument)
    add = parser.add_argument
    add("-g", "--genome", nargs="+", metavar="FASTA", help="FASTA files")
    add("--scan", metavar="DIR", help="sites: the calls of a folder of tcnfast scan")
    add("--peaks", nargs="+", default=[], metavar="BED", help="or these labelled peak tables")
    words = "labels whose sites are looked at (default: all with enough)"
    add("-t", "--targets", type=names, metavar="LABELS", help=words)
    words = "motifs, by name or id (default: the first named for each label's factor)"
    add("--names", type=names, metavar="MOTIFS", help=words)
    words = "sites of a label, drawn at random (default 200)"
    add("--max-sites", type=positive, default=200, metavar="N", help=words)
    words = "least sites of a label, and of those with a motif (default 20)"
    add("--min-sites", type=positive, default=20, metavar="N", help=words)
    words = "scrambles of each motif, and of random pieces (default 5)"
    add("--draws", type=positive, default=5, metavar="N", help=words)
    words = "where a motif counts, on either side of a summit (default 100)"
    add("--reach", type=positive, default=100, metavar="BP", help=words)
    add("--seed", type=int, default=0, metavar="N", help="of all draws (default 0)")


def run_sites(args: argparse.Namespace) -> None:
    require(args, "genome", "output")
    from ..cobind.cobinding import InfluenceOptions, motif_influence

    numbers = ("max_sites", "draws", "reach", "min_sites", "seed")
    motif_influence(
        args.model,
        args.genome,
        args.motifs,
        args.output,
        scan=args.scan,
        peaks=args.peaks,
        targets=args.targets,
        names=args.names,
        options=InfluenceOptions(**{name: getattr(args, name) for name in numbers}),
        **_run_flags(args),
    )
