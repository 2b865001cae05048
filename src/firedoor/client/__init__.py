"""What a shop's own server uses: the official OpenAI client with a deadline, a circuit breaker and a local fallback.

AI may fail, the shop may not: whatever happens to the gateway, a call here returns within the surface's deadline, with
the model's answer, the gateway's fallback, or the same fallback computed here.

Imports nothing heavy: the `openai` package is loaded when a client is made.
"""

from firedoor.client.asynchronous import AsyncShopClient
from firedoor.client.breaker import Breaker
from firedoor.client.stream import AsyncShopStream
from firedoor.client.threaded import ShopClient, ShopStream
from firedoor.client.trouble import FiredoorInfo
from firedoor.core.clientfile import SurfaceFallback
from firedoor.core.rules import Decision

__all__ = [
    "AsyncShopClient",
    "AsyncShopStream",
    "Breaker",
    "Decision",
    "FiredoorInfo",
    "ShopClient",
    "ShopStream",
    "SurfaceFallback",
]
