"""The BLAS behind torch: which kernels it takes on this processor, and which it should take.

OpenBLAS 0.3.21 of Debian bookworm does not know processors that are newer than itself and falls back to SSE kernels
there. `prepare_environment()` must run before torch is imported: it asks for the best kernels that the processor can
run, unless OPENBLAS_CORETYPE is set already.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

# Kernels that need no more than SSE; a ratio against one of them says nothing.
SLOW_CORES = {"Prescott", "Core2", "Nehalem", "Generic", "Opteron", "Opteron_SSE3", "Barcelona"}
VECTOR_CORES = {"avx512f": "SkylakeX", "avx2": "Haswell"}


def cpu_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def detected_core(core_type: str | None = None) -> str:
    """The core that OpenBLAS names in a fresh process."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    environment["OPENBLAS_VERBOSE"] = "2"
    if core_type:
        environment["OPENBLAS_CORETYPE"] = core_type
    load = "import ctypes; ctypes.CDLL('libblas.so.3')"
    done = subprocess.run([sys.executable, "-c", load], env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"Core: (\S+)", done.stdout + done.stderr)
    return found.group(1) if found else "unknown (not OpenBLAS)"


def prepare_environment() -> str:
    """Sets OPENBLAS_CORETYPE where the detection falls short; returns the core whose kernels will run."""
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    core = detected_core(chosen)
    if chosen is None and core in SLOW_CORES:
        flags = cpu_flags()
        for flag, better in VECTOR_CORES.items():
            if flag in flags:
                os.environ["OPENBLAS_CORETYPE"] = better
                return detected_core(better)
    return core


def main() -> None:
    core = prepare_environment()
    asked = os.environ.get("OPENBLAS_CORETYPE", "by detection")
    import spconv
    import spconv.pytorch as sparse
    import torch

    coords = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 2]], dtype=torch.int32)
    x = sparse.SparseConvTensor(torch.ones(2, 4), coords, [4, 4, 4], 1)
    with torch.no_grad():
        rows = sparse.SubMConv3d(4, 8, 3, bias=False).eval()(x).features.shape[0]
    assert rows == 2, rows
    print(f"spconv {spconv.__version__}, torch {torch.__version__}, OpenBLAS core {core} ({asked}): works on this CPU")


if __name__ == "__main__":
    main()
