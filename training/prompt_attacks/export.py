"""Ship trained weights: ``python -m training.prompt_attacks.export WEIGHTS.pt OUT --version V --thresholds FILE``.

Writes ``prompt-attacks.npz`` (tables in int8, layers) and ``prompt-attacks.json`` (thresholds, hashes) to
the folder OUT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from firedoor.core.detect.attack.features import FEATURES, PARTS, VECTORS
from firedoor.core.detect.attack.model import HEADS, Weights
from firedoor.core.detect.attack.signs import ROLES

NAME = "prompt-attacks"


DEEP = np.array([0.35 if head in ROLES else 0.6 for head in HEADS], dtype=np.float32)
"""What a nat of the network counts beside one of the linear part: both learned from the same texts, and the network is
the surer of the two. Chosen on the runs that leave sources out."""


def weights(path: Path) -> Weights:
    """The weights as they are shipped, of what `train.py` saved at `path` (``.pt`` and ``.npz``)."""
    state = {name: value.numpy() for name, value in torch.load(path).items()}
    found = np.load(path.with_suffix(".npz"))
    vectors, scale = quantised(state["table.weight"][:VECTORS])
    said, said_scale = quantised(found["said"])
    near = state["trunk.near.weight"]
    return Weights(
        vectors=vectors,
        scale=scale,
        near=near.transpose(1, 2, 0).reshape(near.shape[1], -1).copy(),
        near_bias=state["trunk.near.bias"],
        hidden=state["hidden.weight"].T.copy(),
        hidden_bias=state["hidden.bias"],
        leave=DEEP * state["leave.weight"].T,
        leave_bias=DEEP * state["leave.bias"] + found["bias"],
        parts=said[:PARTS],
        phrases=said[PARTS:],
        said_scale=said_scale,
    )


def quantised(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """`values` [rows, n] as int8 and what each column was divided by. The largest few are cut."""
    used = np.abs(values[np.abs(values).max(axis=1) > 0])
    scale = (np.quantile(used, 0.9998, axis=0) / 127).astype(np.float32)
    return np.clip(np.round(values / scale), -127, 127).astype(np.int8), scale


def shipped(path: Path, thresholds: dict[str, float], version: str, out: Path) -> dict[str, int]:
    """Write both files to `out`; returns their sizes in bytes."""
    np.savez_compressed(out / f"{NAME}.npz", **weights(path)._asdict())
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in (f"{NAME}.npz",)}
    card = {"version": version, "features": FEATURES, "heads": HEADS, "thresholds": thresholds, "files": files}
    (out / f"{NAME}.json").write_text(json.dumps(card, indent=1) + "\n")
    return {name: (out / name).stat().st_size for name in files}


def main() -> None:
    """Export and write the card."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("weights", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--version", required=True)
    ask.add_argument("--thresholds", type=Path, required=True, help="JSON: each role and `asked` to log-odds")
    given = ask.parse_args()
    thresholds = json.loads(given.thresholds.read_text())
    print(shipped(given.weights, thresholds, given.version, given.out))


if __name__ == "__main__":
    main()
