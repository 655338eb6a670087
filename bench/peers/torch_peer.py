"""What the servers of peers on torch share. To be imported before all that loads torch: it sets what torch reads."""

from __future__ import annotations

import argparse
import os

from blas import prepare_environment

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
THREADS = parser.parse_args().threads
os.environ["OMP_NUM_THREADS"] = str(THREADS)
CORE = prepare_environment()

import torch  # noqa: E402
from serving import Makers, serve  # noqa: E402


def serve_peer(program: str, makers: Makers) -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    with torch.no_grad():
        serve({"program": program, "torch": torch.__version__, "blas_core": CORE, "threads": THREADS}, makers)
