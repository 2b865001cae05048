"""The token classifier: a bag of hashed features per token, a few dilated convolutions, one tag per token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from firedoor.core.detect.names import KINDS
from firedoor.core.detect.tokens import ROWS

LABELS = (
    "PERSON", "EMAIL", "PHONE", "STREET_ADDRESS", "POSTCODE", "CITY", "CREDIT_CARD", "IBAN", "NATIONAL_ID", "TAX_ID", "IP",
    "USERNAME", "SECRET", "ORDER_ID", "ACCOUNT_ID", "DATE_OF_BIRTH", "URL", "ORG", "LOCATION", "DATE",
)  # fmt: skip
TAGS = ("O", *(f"{place}-{label}" for label in LABELS for place in "BI"))
PAD = ROWS + KINDS
"""The row of nothing."""


class Network(nn.Module):
    """Features (tokens x bag) to tags. `size` dimensions a token, `width` channels, one layer for each dilation."""

    def __init__(self, size: int = 64, width: int = 104, dilations: tuple[int, ...] = (1, 2, 4, 8)) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(PAD + 1, size, mode="sum", padding_idx=PAD)
        nn.init.normal_(self.table.weight, std=0.08)
        with torch.no_grad():
            self.table.weight[PAD] = 0
        self.trunk = Trunk(size, width, dilations)
        self.dropout = nn.Dropout(0.15)

    def forward(self, bags: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """`bags` [U, F] of distinct tokens, `places` [B, T] into them, `mask` [B, T]: logits [B, T, tags]."""
        tokens: Tensor = self.dropout(self.table(bags))
        result: Tensor = self.trunk(tokens[places] * mask[..., None], mask)
        return result


class Trunk(nn.Module):
    """Token vectors [B, T, size] to logits [B, T, tags]; this part is shipped as ONNX."""

    def __init__(self, size: int, width: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.enter = nn.Conv1d(size, width, 1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in dilations)
        self.whole = nn.Linear(width, width)
        self.leave = nn.Conv1d(width, len(TAGS), 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Without `mask` every token counts: one text at a time."""
        x = torch.relu(self.enter(tokens.transpose(1, 2)))
        for number, layer in enumerate(self.layers):
            if mask is not None:
                x = x * mask[:, None, :]
            x = x + self.dropout(torch.relu(layer(x)))
            if number == 1:  # what kind of text this is, seen by every token
                mean = x.mean(dim=2) if mask is None else (x * mask[:, None, :]).sum(2) / mask.sum(1, keepdim=True)
                x = x + torch.relu(self.whole(mean))[:, :, None]
        logits: Tensor = self.leave(x).transpose(1, 2)
        return logits
