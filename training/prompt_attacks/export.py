"""Ship trained weights: ``python -m training.prompt_attacks.export WEIGHTS.pt OUT --version V --thresholds FILE``.

Writes ``prompt-attacks.npz`` (embedding table, int8, and the layers) and ``prompt-attacks.json`` (thresholds, hashes) to
the folder OUT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from firedoor.core.detect.attack.features import FEATURES, PHRASES, ROWS
from firedoor.core.detect.attack.model import HEADS, Weights
from training.prompt_attacks.network import Network

NAME = "prompt-attacks"


def loaded(path: Path) -> Network:
    """The network saved at `path`, for measuring."""
    state = torch.load(path)
    near = state["trunk.near.weight"]
    network = Network(near.shape[1], near.shape[0], state["hidden.weight"].shape[0], near.shape[2], "trunk.far.weight" in state)
    network.load_state_dict(state, strict=False)
    network.eval()
    return network


def weights_of(network: Network) -> Weights:
    """The weights of `network` as they are shipped."""
    values = network.table.weight.detach().numpy()[:ROWS]
    used = np.abs(values).max(axis=1) > 0
    bound = np.quantile(np.abs(values[used]), 0.9999, axis=0)
    scale = (bound / 127).astype(np.float32)
    near = network.trunk.near
    said = network.phrases.weight.detach().numpy()[:PHRASES]
    said_bound = np.maximum(np.quantile(np.abs(said[np.abs(said).max(axis=1) > 0]), 0.9999, axis=0), 1e-6) if said.any() else np.ones(said.shape[1])
    said_scale = (said_bound / 127).astype(np.float32)
    return Weights(
        table=np.clip(np.round(values / scale), -127, 127).astype(np.int8),
        scale=scale,
        near=near.weight.detach().numpy().transpose(1, 2, 0).reshape(near.in_channels, -1),
        near_bias=near.bias.detach().numpy(),
        hidden=network.hidden.weight.detach().numpy().T,
        hidden_bias=network.hidden.bias.detach().numpy(),
        leave=network.leave.weight.detach().numpy().T,
        leave_bias=network.leave.bias.detach().numpy(),
        phrases=np.clip(np.round(said / said_scale), -127, 127).astype(np.int8),
        phrase_scale=said_scale,
    )


def shipped(network: Network, thresholds: dict[str, float], version: str, out: Path) -> dict[str, int]:
    """Write both files to `out`; returns their sizes in bytes."""
    np.savez_compressed(out / f"{NAME}.npz", **weights_of(network)._asdict())
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
    print(shipped(loaded(given.weights), thresholds, given.version, given.out))


if __name__ == "__main__":
    main()
