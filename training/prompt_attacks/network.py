"""The network beside the linear part: a bag of hashed features per word, a convolution, pooling, one answer a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from firedoor.core.detect.attack.features import VECTORS
from firedoor.core.detect.attack.model import BLOCK, HEADS
from training.prompt_attacks.encode import PAD


class Network(nn.Module):
    """Features (words x bag) to log-odds. `size` numbers a word, `width` responses, `middle` behind the pooling."""

    def __init__(self, size: int = 48, width: int = 96, middle: int = 64, reach: int = 5, meaning: int = 128) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(VECTORS + 1, size, mode="sum", padding_idx=PAD, sparse=True)
        nn.init.normal_(self.table.weight, std=0.06)
        with torch.no_grad():
            self.table.weight[PAD] = 0
        self.trunk = Trunk(size, width, reach)
        self.hidden = nn.Linear(2 * width, middle)
        self.leave = nn.Linear(middle, len(HEADS))
        self.meaning = nn.Linear(2 * width, meaning)
        self.words = nn.Dropout(0.1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, bags: Tensor, places: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`bags` [U, F] of distinct words, `places` [B, T] into them, `mask` [B, T]: log-odds [B, heads] of whole texts.

        And what their first stretches mean. T is at most `BLOCK` or a multiple of it. A text says what its strongest
        stretch says.
        """
        vectors: Tensor = self.words(self.table(bags))
        responses = self.trunk(vectors[places] * mask[..., None])
        batch, length, width = responses.shape
        blocks = max(1, length // BLOCK)
        shaped = responses.reshape(batch, blocks, length // blocks, width)
        here = mask.reshape(batch, blocks, length // blocks)
        strongest = (shaped * here[..., None]).amax(dim=2)  # responses are never negative
        total = (shaped * here[..., None]).sum(dim=2)
        count = here.sum(dim=2, keepdim=True)
        if blocks > 1:
            strongest = torch.maximum(strongest[:, :-1], strongest[:, 1:])
            total = total[:, :-1] + total[:, 1:]
            there = count[:, 1:] > 0
            count = count[:, :-1] + count[:, 1:]
            there[:, 0] = True
        else:
            there = torch.ones_like(count, dtype=torch.bool)
        pooled = torch.cat([strongest, total / count.clamp(min=1)], dim=-1)
        meaning: Tensor = self.meaning(pooled[:, 0])
        odds = self.leave(self.dropout(torch.relu(self.hidden(self.dropout(pooled)))))
        whole: Tensor = odds.masked_fill(~there, -1e4).amax(dim=1)
        return whole, meaning


class Trunk(nn.Module):
    """Word vectors [B, T, size] to responses [B, T, width], none negative, from `reach` words side by side."""

    def __init__(self, size: int, width: int, reach: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(size, width, reach, padding=reach // 2)

    def forward(self, vectors: Tensor) -> Tensor:
        """Where there is no word the vectors are 0."""
        result: Tensor = torch.relu(self.near(vectors.transpose(1, 2))).transpose(1, 2)
        return result
