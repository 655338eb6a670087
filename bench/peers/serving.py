"""The protocol of bench/README.md on a peer's side: a request a line on stdin, an answer a line on stdout."""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable


class Refused(Exception):
    """The peer cannot do a case; the message says why."""


@dataclass
class Work:
    """A case made ready: what to time, and how much it does."""

    run: Callable[[], Any]
    items: int
    output_rows: int
    edges: int


def in_turn(runs: list[Callable[[], Any]]) -> Callable[[], Any]:
    """One that does the next of some runs each time: of a stream's frames."""
    turns = itertools.cycle(runs)
    return lambda: next(turns)()


Makers = dict[str, Callable[[dict[str, Any]], Work]]


def peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed_us(run: Callable[[], Any], clock: Callable[[], int]) -> float:
    start = clock()
    result = run()
    us = (clock() - start) / 1000
    del result  # freed after the clock has stopped
    return us


def serve(about: dict[str, Any], makers: Makers) -> None:
    """Answers until stdin ends. `makers` has a function for each suite that the peer knows."""
    # Answers go to what was stdout; whatever libraries print goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    start_rss = peak_rss_bytes()
    ready: tuple[dict[str, Any], Work] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "case" not in request:
                answer: dict[str, Any] = about
            else:
                case = request["case"]
                if ready is None or ready[0] != case:
                    if case["suite"] not in makers:
                        raise Refused(f"{about['program']} does not do {case['suite']}")
                    ready = (case, makers[case["suite"]](case))
                work = ready[1]
                by_cpu = request.get("clock") == "cpu" and about["threads"] == 1
                clock = time.process_time_ns if by_cpu else time.perf_counter_ns
                if request.get("warm_up", True):
                    work.run()
                answer = {
                    "us": [timed_us(work.run, clock) for _ in range(request.get("runs", 1))],
                    "items": work.items,
                    "output_rows": work.output_rows,
                    "edges": work.edges,
                    "peak_rss_bytes": peak_rss_bytes(),
                    "start_rss_bytes": start_rss,
                }
        except Exception as error:  # a case that a peer fails at must not end the comparison
            answer = {"error": f"{type(error).__name__}: {error}" if not isinstance(error, Refused) else str(error)}
        print(json.dumps(answer), file=answers, flush=True)
