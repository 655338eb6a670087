#!/usr/bin/env python3
"""Compares two builds on the cases of `lattice_bench`, measured in turn.

    bench/ab.py build-a build-b -- layers kitti/subm --threads 1

A ratio above 1 says that B takes longer. It is the median of the turns' ratios, with their quartiles. Both programs
are started several times for each case: where a process's memory happens to lie makes a relation up to 2 % quicker or
slower for as long as the process lives.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from in_turn import CaseRefused, Pair, Server, cases_of, measure_in_turn, split_arguments


def binary_in(build: str) -> str:
    path = Path(build)
    return str(path / "lattice_bench" if path.is_dir() else path)


def measure(binaries: tuple[str, str], case: dict[str, Any], options: argparse.Namespace) -> Pair:
    """Turns of several pairs of processes, one pair after the other."""
    pairs = []
    for _ in range(options.processes):
        a, b = (Server([binary, "serve"]) for binary in binaries)
        try:
            pairs.append(measure_in_turn(a, b, case, options.rounds, options.clock))
        finally:
            a.close()
            b.close()
    for pair in pairs[1:]:
        pairs[0].add(pair)
    return pairs[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build_a", help="build folder, or lattice_bench itself")
    parser.add_argument("build_b")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each pair of processes")
    parser.add_argument("--processes", type=int, default=5, help="how often both programs are started for a case")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread on a busy machine")
    own, arguments = split_arguments(sys.argv[1:])
    options = parser.parse_args(own)
    binaries = (binary_in(options.build_a), binary_in(options.build_b))
    print(f"{'case':<52}{'A us':>11}{'B us':>11}{'B / A':>8}   quartiles")
    logarithms = []
    for case in cases_of(binaries[0], arguments):
        try:
            pair = measure(binaries, case, options)
        except CaseRefused as reason:
            print(f"{case['name']:<52}  {reason}")
            continue
        low, high = pair.ratio_range
        a_us, b_us = statistics.median(pair.a_us), statistics.median(pair.b_us)
        print(f"{case['name']:<52}{a_us:>11.1f}{b_us:>11.1f}{pair.ratio:>8.3f}   {low:.3f} .. {high:.3f}", flush=True)
        logarithms.append(math.log(pair.ratio))
    if logarithms:
        print(f"{'geometric mean':<74}{math.exp(statistics.mean(logarithms)):>8.3f}")


if __name__ == "__main__":
    main()
