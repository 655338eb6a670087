"""The least of a safetensors writer: numpy arrays of float32 and int32 by name."""

import json
import struct
from pathlib import Path

import numpy as np

_TYPES = {np.dtype(np.float32): "F32", np.dtype(np.int32): "I32"}


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    header: dict[str, object] = {}
    offset = 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        header[name] = {"dtype": _TYPES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())
