"""ONNX graphs on one thread: a worker has one core, and its event loop must not wait for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Floats = npt.NDArray[np.float32]


def session(model: bytes) -> Any:  # onnxruntime has no types
    """A session for `model`, on the processor, with one thread. Raises what onnxruntime raises for a damaged model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class TokenGraph:
    """The convolutions of the token classifier: input ``vectors`` [1, T, size], output ``chances`` [1, T, tags]."""

    def __init__(self, model: bytes) -> None:
        self._run = session(model).run

    def __call__(self, vectors: Floats) -> Floats:
        """Chances [T, tags] for vectors [T, size]."""
        if not len(vectors):
            return np.zeros((0, 1), dtype=np.float32)
        chances: Floats = self._run(None, {"vectors": vectors[None]})[0][0]
        return chances
