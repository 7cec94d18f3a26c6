"""A scan beside its parts and its peers: `python -m benchmarks.scan.scan FASTA [FASTA ...]`.

All with the default model, every label, both strands, a score every 32 bases (`--stride`):

network      the scores of codes in memory and nothing else, of the whole input or `--sample` bases
             spread over it. Its share of the roofline is needed arithmetic (grid.py) a second: on a
             processor of the engine's own loop without memory, run in turn with it; elsewhere the
             larger of needed bytes over the rate of a large copy and needed operations over that of
             a large matrix product, both measured in the run, over the time taken.
scan         `python -m tcnfast.scan` as a process of its own, from FASTA and, with `--twobit`, from
             .2bit files of another folder, which must give the same calls, byte for byte. Calls
             only or, with `--tracks`, with every track in each format. Seconds from the first to
             the last line of the program and of the whole process; what each stage was busy (they
             overlap); the most memory that all its processes held (proportional set size).
peers        with `--peers deepbind_v011_params.tar.xz`, on the same device, each sampled on a piece
             of the first contig and scaled to the input (scan/peers.py): our network in PyTorch
             window by window, dense, and pruned, checked for the same numbers; and DeepBind, which
             scores one factor, by one model and by as many as we have labels.

`--rounds` rounds, medians. Rows go to results/scan.csv, scan_stages.csv and scan_peers.csv, unless
`--dry`. A genome of 3.1 Gb: see scan/synthetic_genome.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks.harness import append, record, show
from benchmarks.scan.peers import Peer, check_deepbind, deepbinds, error, fastest, measure, networks
from benchmarks.scan.runs import TRACKS, Network, Run, same_calls, scan
from tcnfast.base.run_record import device_words
from tcnfast.bench.speed import Clock
from tcnfast.genome.genome import Genome, split_chroms

PEER_BASES = {"cpu": 2**18, "cuda": 2**23}  # of the piece that peers score


def main() -> None:
    args = arguments()
    with Genome(*args.fasta) as genome:
        sizes = {chrom: genome.sizes[chrom] for chrom in split_chroms(genome.sizes)[0]}
        network = Network(genome, sizes, args.device, args.stride, args.sample)
        bases, words = sum(sizes.values()), device_words(network.plan.device)
        names = ", ".join(path.name for path in args.fasta)
        case = f"{names}, {bases} bp, stride {args.stride}, {words}"
        print(f"# {case}, {network.words}")
        runs = in_turn(args, network)
        show_and_record(case, bases, network, runs, args.dry)
        if args.peers:
            fasta = median(run.seconds for run in runs[next(iter(runs))])
            rows = peers(args, network, bases, fasta, codes_of(genome, sizes, network))
            show(rows)
            if not args.dry:
                append("scan_peers", case, rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A scan beside its parts and its peers")
    add = parser.add_argument
    add("fasta", nargs="+", type=Path)
    add("--twobit", nargs="+", type=Path, default=[], help="the same genome as .2bit")
    add("--device", default="auto")
    add("--stride", type=int, default=32)
    add("--rounds", type=int, default=3)
    add("--sample", type=float, default=1.4e8, help="bases of the side network (default 1.4e8)")
    add("--tracks", action="store_true", help="also with all tracks, in every format")
    add("--peers", type=Path, metavar="ARCHIVE", help="also peers; DeepBind's trained models")
    add("--dry", action="store_true", help="write no results")
    return parser.parse_args()


def in_turn(args: argparse.Namespace, network: Network) -> dict[str, list[Run]]:
    """The network and every kind of scan, round after round."""
    inputs = {"FASTA": args.fasta} | ({".2bit": args.twobit} if args.twobit else {})
    kinds = {f"calls, from {name}": (files, []) for name, files in inputs.items()}
    if args.tracks:
        for name, options in TRACKS.items():
            kinds[f"calls and all tracks, {name}"] = args.fasta, options
    common = ["--stride", str(args.stride), "--device", args.device]
    runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(dir=args.fasta[0].parent) as folder:
        for _ in range(args.rounds):
            network.round()
            for number, (kind, (files, options)) in enumerate(kinds.items()):
                runs[kind].append(scan(files, Path(folder, str(number)), [*common, *options]))
        for number in range(1, len(kinds)):
            same_calls(Path(folder, "0"), Path(folder, str(number)))
    return runs


def show_and_record(case: str, bases: int, network: Network, runs: dict[str, list[Run]], dry):
    network_s = network.per_base * bases
    rows = [{"side": "network", "seconds": f"{network_s:.4g}", "mbp_s": f"{rate(bases, network_s)}",
             "roofline": f"{network.roofline:.3f}", "network_x": "1.00"}]  # fmt: skip
    medians = {"network": network_s}
    for kind, some in runs.items():
        medians[kind] = median(run.seconds for run in some)
        middle = min(some, key=lambda run, m=medians[kind]: abs(run.seconds - m))
        row = {
            "side": kind,
            "seconds": f"{medians[kind]:.4g}",
            "mbp_s": rate(bases, medians[kind]),
            "network_x": f"{medians[kind] / network_s:.2f}",
            "process_s": f"{median(run.process for run in some):.4g}",
            "resident_mib": f"{max(run.resident for run in some):.0f}",
            "output_mib": f"{middle.output:.0f}",
        }
        rows.append(row | {f"{stage}_s": f"{s:.3f}" for stage, s in middle.stages.items()})
    columns = dict.fromkeys(column for row in rows for column in row)
    rows = [{column: row.get(column, "") for column in columns} for row in rows]
    show(rows)
    if not dry:
        record("scan", case, medians, "network")
        append("scan_stages", f"{case}, {network.words}", rows)


def codes_of(genome: Genome, sizes: dict[str, int], network: Network) -> torch.Tensor:
    """A piece of the middle of the first contig."""
    chrom, plan = next(iter(sizes)), network.plan
    wanted = PEER_BASES[plan.device.type] + plan.receptive_field - plan.stride
    start = max(0, sizes[chrom] // 2 - wanted // 2)
    return torch.from_numpy(genome.codes(chrom, start, start + wanted)).to(plan.device)


def peers(args, network: Network, bases: int, scan_s: float, codes: torch.Tensor) -> list[dict]:
    model, plan, clock = network.model, network.plan, Clock(network.plan.device)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    archive = check_deepbind(args.peers)
    overlap = model.receptive_field - args.stride
    ours = Peer("tcnfast, network", f"{plan.backend} {plan.precision}", plan,
                len(codes) - overlap, overlap, plan.precision)  # fmt: skip
    sides = {ours.family: ours} | fastest(networks(model, args.stride, plan.device), clock, codes)
    off = {family: error(side, model, args.stride, codes) for family, side in sides.items()}
    sides |= fastest(deepbinds(archive, args.stride, plan.device), clock, codes)
    rows, labels = [], len(model.labels)
    per_base = measure(sides, clock, codes, max(3, args.rounds))
    for family, side in sides.items():
        seconds, sampled = per_base[family]
        times = {family: seconds * bases}
        if side.models > 1:
            times = {f"DeepBind, {labels} models": seconds * bases * labels / side.models}
        for name, whole in times.items():
            rows.append({
                "side": name,
                "detail": side.detail,
                "off": f"{off[family]:.1e}" if family in off else "another network",
                "sampled_bases": sampled,
                "scaled_s": f"{whole:.4g}",
                "mbp_s": rate(bases, whole),
                "ratio_to_network": f"{whole / (per_base[ours.family][0] * bases):.2f}",
                "ratio_to_scan": f"{whole / scan_s:.2f}",
            })  # fmt: skip
    return rows


def rate(bases: int, seconds: float) -> str:
    return f"{bases / seconds / 1e6:.4g}"


if __name__ == "__main__":
    with torch.inference_mode():
        main()
