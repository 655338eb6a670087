"""Measures two programs in turn, so that whatever else the machine does falls on both alike.

A server is a program that reads a request a line from stdin and answers each with a line of JSON (README.md has the
protocol): `lattice_bench serve`, or one of the peers.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from typing import Any

TARGET_US = 80_000  # of one program's turn
MOST_RUNS = 200
LONG_US = 1_000_000  # a run after which nothing is warm or cold any more
BUDGET_US = 20_000_000  # of a case; below 3 rounds there would be no median


class CaseRefused(Exception):
    """A server cannot do a case; the message says why."""


class Server:
    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.about: dict[str, Any] = self.ask({"about": True})

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args}: ended without an answer")
        answer = json.loads(line)
        if "error" in answer:
            raise CaseRefused(answer["error"])
        return answer

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Pair:
    """What turns of A and B have given; ratios are B's time over A's, turn by turn."""

    a: dict[str, Any]
    b: dict[str, Any]
    a_us: list[float]
    b_us: list[float]
    ratios: list[float]

    def add(self, other: Pair) -> None:
        """Further turns."""
        self.a_us += other.a_us
        self.b_us += other.b_us
        self.ratios += other.ratios

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def ratio_range(self) -> tuple[float, float]:
        """The quartiles."""
        if len(self.ratios) < 2:
            return self.ratios[0], self.ratios[0]
        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return low, high


def request_of(first: dict[str, Any], us: float) -> dict[str, Any]:
    """The first request again, for one turn of a case that takes about so long."""
    return {**first, "runs": max(1, min(MOST_RUNS, round(TARGET_US / us))), "warm_up": us < LONG_US}


def measure_in_turn(a: Server, b: Server, case: dict[str, Any], rounds: int, clock: str = "wall") -> Pair:
    """A B, B A, A B, ...: each turn gives the best of its runs, after one that is not counted.

    The best of a turn is the run that other processes disturbed least; medians are taken over the turns.
    """
    first = {"case": case, "runs": 1, "clock": clock}
    pair = Pair(a.ask(first), b.ask(first), [], [], [])
    a_us, b_us = pair.a["us"][0], pair.b["us"][0]
    requests = [(a, request_of(first, a_us), pair.a_us), (b, request_of(first, b_us), pair.b_us)]
    for turn in range(min(rounds, max(3, round(BUDGET_US / (a_us + b_us))))):
        for server, request, times in requests if turn % 2 == 0 else reversed(requests):
            times.append(min(server.ask(request)["us"]))
        pair.ratios.append(pair.b_us[-1] / pair.a_us[-1])
    return pair


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before "--" and behind it: our own arguments, and those of `lattice_bench`."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def cases_of(binary: str, arguments: list[str]) -> list[dict[str, Any]]:
    """The cases that `lattice_bench` would measure with these arguments."""
    done = subprocess.run([binary, *arguments, "--list"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip() or done.stdout.strip())
    return json.loads(done.stdout)
