#!/usr/bin/env python3
"""Prints one table of lattice beside its peers, each case measured in turn in one run.

    bench/peers/setup.sh DIR --minkowski
    bench/peers/compare.py BUILD DIR                                   the cases that the project's targets speak of
    bench/peers/compare.py BUILD DIR -- layers sweep/kitti --threads 1     cases of `lattice_bench`

A ratio is the peer's time over ours: the median of the turns' ratios, with their quartiles. Packed weights are compared
with the peer's float32, since no peer has them on a CPU. A peer that DIR does not have is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from blas import SLOW_CORES  # noqa: E402
from in_turn import CaseRefused, Pair, Server, cases_of, measure_in_turn, split_arguments  # noqa: E402

DEFAULT_CASES = [
    ["relations", "/(subm-k3|forward|transposed)", "--threads", "1"],
    ["relations", "centerpoint/regular", "--threads", "1"],
    ["voxelize", "--threads", "1"],
    ["layers", "sweep/(kitti|scannet|sweeps)/subm", "--threads", "1", "--precision", "float32,int4"],
    ["layers", "sweep/kitti.d4/subm", "/256-256/", "--threads", "1", "--precision", "float32,int4"],
    ["layers", "sweep/kitti/(forward|inverse|transposed|regular)", "--threads", "1", "--precision", "float32"],
    ["layers", "^centerpoint/", "--threads", "1", "--precision", "float32"],
    ["networks"],
]
PEERS = {  # server, module, suites
    "spconv": ("spconv_server.py", "spconv", {"layer", "relation", "voxelize", "network"}),
    "minkowski": ("minkowski_server.py", "MinkowskiEngine", {"layer", "relation", "voxelize", "network"}),
    "numpy": ("numpy_server.py", "numpy", {"voxelize"}),
}
# A BLAS thread that spins for its next task slows whatever runs beside it, which here would be us.
PEER_ENVIRONMENT = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}
MIB = 1 << 20


def installed_peers(python: str) -> list[str]:
    """Those whose modules load; says which do not."""
    peers = []
    for peer, (_, module, _) in PEERS.items():
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0:
            peers.append(peer)
        else:
            print(f"{peer} is left out: {python} cannot import {module}", flush=True)
    return peers


class Comparison:
    def __init__(self, binary: str, python: str, rounds: int, clock: str) -> None:
        self.binary, self.python, self.rounds, self.clock = binary, python, rounds, clock
        self.peers = installed_peers(python)
        self.servers: dict[tuple[str, int], Server] = {}
        self.rows: list[dict[str, Any]] = []

    def server(self, program: str, threads: int) -> Server:
        """Peers have one for each number of threads: their BLAS wants to know it from the start."""
        key = (program, 0 if program == "lattice" else threads)
        if key not in self.servers:
            if program == "lattice":
                self.servers[key] = Server([self.binary, "serve"])
            else:
                command = [self.python, str(HERE / PEERS[program][0]), "--threads", str(threads)]
                self.servers[key] = Server(command, PEER_ENVIRONMENT)
        return self.servers[key]

    def restart(self) -> None:
        for server in self.servers.values():
            server.close()
        self.servers.clear()

    def measure(self, case: dict[str, Any]) -> None:
        if case["suite"] == "network":
            self.restart()  # so that peak memory is this network's
        for peer in self.peers:
            if case["suite"] not in PEERS[peer][2]:
                continue
            ours, theirs = self.server("lattice", case["threads"]), self.server(peer, case["threads"])
            try:
                pair = measure_in_turn(ours, theirs, case, self.rounds, self.clock)
            except CaseRefused as reason:
                print(f"{case['name']:<50} {peer:<10}{reason}", flush=True)
                continue
            peak = ours.ask({"peak": case["threads"]})
            row = row_of(case, peer, pair, peak["gflops"])
            self.rows.append(row)
            print(text_of(row), flush=True)

    def about(self) -> str:
        ours = self.server("lattice", 1)
        peak = ours.ask({"peak": 1})
        lines = [
            f"lattice {ours.about['isa']}; float32 peak of one thread {peak['gflops']:.1f} GFLOP/s ({peak['loop']})"
        ]
        convolving = [peer for peer in self.peers if "layer" in PEERS[peer][2]]
        for theirs in [self.server(peer, 1).about for peer in convolving]:
            lines.append(f"{theirs['program']}, torch {theirs['torch']}, OpenBLAS core {theirs['blas_core']}")
            if theirs["blas_core"] in SLOW_CORES:
                lines.append("THE BLAS DOES NOT KNOW THIS PROCESSOR: no ratio of a convolution below counts")
        return "\n".join(lines)


def row_of(case: dict[str, Any], peer: str, pair: Pair, peak: float) -> dict[str, Any]:
    flop = pair.a["flop"]
    us, peer_us = statistics.median(pair.a_us), statistics.median(pair.b_us)
    row = {
        **case,
        "peer": peer,
        "rows": pair.a["items"],
        "us": us,
        "peer_us": peer_us,
        "ratio": pair.ratio,
        "ratio_quartiles": pair.ratio_range,
        "same_work": same_work(case["suite"], pair),
    }
    if flop > 0:
        row |= {"gflops": flop / us / 1000, "peer_gflops": flop / peer_us / 1000, "peak_gflops": peak}
    if case["suite"] == "network":
        row |= {"peak_rss_bytes": pair.a["peak_rss_bytes"], "rss_growth_bytes": growth(pair.a)}
        row |= {"peer_peak_rss_bytes": pair.b["peak_rss_bytes"], "peer_rss_growth_bytes": growth(pair.b)}
    return row


def growth(answer: dict[str, Any]) -> int:
    return answer["peak_rss_bytes"] - answer["start_rss_bytes"]


def same_work(suite: str, pair: Pair) -> bool:
    """Whether both have the same rows and edges, but for a thousandth.

    Points on a border go to either voxel, as each rounds; and on a very large grid spconv loses a few outputs.
    """
    fields = {"voxelize": ["output_rows"], "network": ["output_rows"]}.get(suite, ["items", "output_rows", "edges"])
    return all(abs(pair.a[field] - pair.b[field]) <= 0.001 * pair.a[field] for field in fields)


HEAD = (
    f"{'case':<50} {'peer':<10}{'rows':>8}{'ours us':>11}{'peer us':>11}{'ratio':>7}  {'quartiles':<15}"
    f"{'GFLOP/s':>8}{'of peak':>8}{'peer':>7}"
)


def text_of(row: dict[str, Any]) -> str:
    low, high = row["ratio_quartiles"]
    text = f"{row['name']:<50} {row['peer']:<10}{row['rows']:>8}{row['us']:>11.1f}{row['peer_us']:>11.1f}"
    text += f"{row['ratio']:>7.2f}  {f'{low:.2f} .. {high:.2f}':<15}"
    if "gflops" in row:
        peak = row["peak_gflops"]
        text += f"{row['gflops']:>8.1f}{row['gflops'] / peak:>8.0%}{row['peer_gflops'] / peak:>7.0%}"
    else:
        ns, peer_ns = (row[field] * 1000 / row["rows"] for field in ("us", "peer_us"))
        text += f"{ns:>8.1f} ns a row, peer {peer_ns:.1f}"
    if "rss_growth_bytes" in row:
        text += f"  memory +{row['rss_growth_bytes'] / MIB:.0f} MiB, peer +{row['peer_rss_growth_bytes'] / MIB:.0f}"
    return text if row["same_work"] else text + "  NOT THE SAME WORK"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="build folder, or lattice_bench itself")
    parser.add_argument("environment", type=Path, help="the folder that setup.sh made")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each program on each case")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread on a busy machine")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    own, arguments = split_arguments(sys.argv[1:])
    options = parser.parse_args(own)
    binary = str(options.build / "lattice_bench" if options.build.is_dir() else options.build)
    comparison = Comparison(binary, str(options.environment / "venv/bin/python"), options.rounds, options.clock)
    print(f"{comparison.about()}\n{HEAD}", flush=True)
    for suite in [arguments] if arguments else DEFAULT_CASES:
        for case in cases_of(binary, suite):
            comparison.measure(case)
    comparison.restart()
    if options.json:
        options.json.write_text(json.dumps(comparison.rows, indent=1) + "\n")
    if not all(row["same_work"] for row in comparison.rows):
        sys.exit("A peer did other work than we did; its ratios do not count.")


if __name__ == "__main__":
    main()
