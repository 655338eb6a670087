#!/usr/bin/env python3
"""Compares two builds on the cases of `lattice_bench`, measured in turn.

    bench/ab.py build-a build-b -- layers kitti/subm --threads 1

A ratio above 1 says that B takes longer. It is the median of the turns' ratios, with their quartiles.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path

from in_turn import CaseRefused, Server, cases_of, measure_in_turn, split_arguments


def binary_in(build: str) -> str:
    path = Path(build)
    return str(path / "lattice_bench" if path.is_dir() else path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build_a", help="build folder, or lattice_bench itself")
    parser.add_argument("build_b")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread on a busy machine")
    own, arguments = split_arguments(sys.argv[1:])
    options = parser.parse_args(own)
    cases = cases_of(binary_in(options.build_a), arguments)
    a, b = (Server([binary_in(build), "serve"]) for build in (options.build_a, options.build_b))
    print(f"{'case':<52}{'A us':>11}{'B us':>11}{'B / A':>8}   quartiles")
    logarithms = []
    for case in cases:
        try:
            pair = measure_in_turn(a, b, case, options.rounds, options.clock)
        except CaseRefused as reason:
            print(f"{case['name']:<52}  {reason}")
            continue
        low, high = pair.ratio_range
        a_us, b_us = statistics.median(pair.a_us), statistics.median(pair.b_us)
        print(f"{case['name']:<52}{a_us:>11.1f}{b_us:>11.1f}{pair.ratio:>8.3f}   {low:.3f} .. {high:.3f}", flush=True)
        logarithms.append(math.log(pair.ratio))
    if logarithms:
        print(f"{'geometric mean':<74}{math.exp(statistics.mean(logarithms)):>8.3f}")
    a.close()
    b.close()


if __name__ == "__main__":
    main()
