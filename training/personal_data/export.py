"""Ship trained weights: ``python -m training.personal_data.export WEIGHTS.pt NAMES.bin OUT --version V``.

Writes ``personal-data.npz`` (embedding table, int8), ``personal-data.onnx`` (the convolutions) and
``personal-data.json`` (tags, thresholds, hashes) to the folder OUT, and checks that both halves together say what the
network says.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from firedoor.core.detect.tokens import FEATURES
from training.personal_data.network import LABELS, PAD, TAGS, Network, Trunk

NEUTRAL = ("ORG", "LOCATION", "DATE")


class Chances(nn.Module):
    """The trunk with its softmax."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors [1, T, size] to chances [1, T, tags]."""
        return torch.softmax(self.trunk(vectors), dim=-1)


def main() -> None:
    """Export and write the card."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("weights", type=Path)
    ask.add_argument("names", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--version", required=True)
    ask.add_argument("--thresholds", type=Path, help="JSON: label to threshold; without it 0.3 for all")
    given = ask.parse_args()
    state = torch.load(given.weights)
    network = Network(width=state["trunk.enter.weight"].shape[0], size=state["table.weight"].shape[1])
    network.load_state_dict(state)
    network.eval()
    values = network.table.weight.detach().numpy()[:PAD]
    bound = np.quantile(np.abs(values), 0.9995, axis=0)
    scale = (bound / 127).astype(np.float32)
    table = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
    np.savez_compressed(given.out / "personal-data.npz", table=table, scale=scale)
    example = torch.randn(1, 17, table.shape[1])
    path = given.out / "personal-data.onnx"
    torch.onnx.export(
        Chances(network.trunk), (example,), str(path), input_names=["vectors"], output_names=["chances"],
        dynamic_axes={"vectors": {1: "tokens"}, "chances": {1: "tokens"}}, opset_version=17, dynamo=False,
    )  # fmt: skip
    model = onnx.load(str(path))
    model.producer_version = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    if given.names.resolve() != (given.out / "names.bin").resolve():
        (given.out / "names.bin").write_bytes(given.names.read_bytes())
    labels = [label for label in LABELS if label not in NEUTRAL]
    thresholds = json.loads(given.thresholds.read_text()) if given.thresholds else dict.fromkeys(labels, 0.3)
    files = {
        name: hashlib.sha256((given.out / name).read_bytes()).hexdigest()
        for name in ("names.bin", "personal-data.npz", "personal-data.onnx")
    }
    card = {"version": given.version, "features": FEATURES, "tags": TAGS, "thresholds": thresholds, "files": files}
    (given.out / "personal-data.json").write_text(json.dumps(card, indent=1) + "\n")
    print({name: (given.out / name).stat().st_size for name in files})


if __name__ == "__main__":
    main()
