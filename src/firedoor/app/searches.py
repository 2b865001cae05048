"""The searches for personal data in one gateway worker, each shared by the surfaces that look for the same."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NoReturn

from firedoor.app.detectors import Detectors
from firedoor.core.detect.brands import Brands
from firedoor.core.detect.own.text import OwnFolding
from firedoor.core.detect.seen import SeenTexts
from firedoor.core.plan.model import PersonalDataRules
from firedoor.errors import SetupError
from firedoor.gateway.service import Searches

log = logging.getLogger("firedoor.gateway")

SEEN_TEXTS = 4096
"""Texts whose findings a worker remembers: system prompts and the re-sent history of some hundred conversations."""


class SharedSearches:
    """`products` gives the names of a shop's products, which are nobody's. Used by one thread at a time."""

    def __init__(self, products: Callable[[str], Sequence[str]]) -> None:
        self._products = products
        self._made: dict[tuple[object, ...], Searches] = {}
        self._folding = OwnFolding()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="inspect")

    def of(self, shop: str, settings: PersonalDataRules) -> Searches:
        """The searches of a surface in `shop`.

        Where its detectors cannot be loaded, each of them fails: the surface falls back, the others go on.
        """
        key = (
            shop,
            tuple(sorted(settings.thresholds.items())),
            settings.not_personal,
            settings.answer_names,
            settings.deep,
        )
        if key not in self._made:
            try:
                self._made[key] = self._make(shop, settings)
            except SetupError as error:
                log.error("a surface of %s gives fallbacks only: %s %s", shop, error.message, error.remedy)
                self._made[key] = self._blind(error)
        return self._made[key]

    def close(self) -> None:
        """Stop the thread for large requests; what waits for it is given up."""
        self._beside.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _detectors(self) -> tuple[Detectors, Detectors]:
        """For the event loop, and for the thread beside it."""
        here = Detectors()
        return here, Detectors(here.weights)

    def _make(self, shop: str, settings: PersonalDataRules) -> Searches:
        here, beside = self._detectors
        brands = Brands(settings.not_personal, self._products(shop))
        search = here.pipeline(settings, brands, deep="off")  # what is slow is never asked on the event loop
        return Searches(
            find=SeenTexts(search.find, os.urandom(32), SEEN_TEXTS).find,
            find_beside=SeenTexts(beside.pipeline(settings, brands).find, os.urandom(32), SEEN_TEXTS).find,
            rules=here.rules.find,
            folding=self._folding,
            beside=self._beside,
            slow=settings.deep != "off",
            names=search.find if settings.answer_names else None,
        )

    def _blind(self, error: SetupError) -> Searches:
        def find(_: str) -> NoReturn:
            raise error.with_traceback(None)  # else it would hold on to the texts of every time before

        return Searches(find=find, find_beside=find, rules=find, folding=self._folding, beside=self._beside)
