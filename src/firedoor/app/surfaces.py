"""The surfaces of one gateway worker, built from the plan and from what the region protects."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from firedoor.app.attacks import AttackReaders
from firedoor.app.latemodel import LateModel, address_mark, model_address, no_model
from firedoor.app.protection import Protection
from firedoor.app.searches import SharedSearches
from firedoor.config import RegionHome
from firedoor.core.breaker import Breaker
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.values import ValueIndex
from firedoor.core.exchange.call import Terms
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.model import Loaded, PromptRules, SearchFallback, Surface
from firedoor.core.prompts.looking import reads_nothing
from firedoor.core.replays import Replays
from firedoor.core.switches import lease_of
from firedoor.errors import SetupError
from firedoor.gateway.service import Guarded, Inspector, PromptReads, SurfaceService
from firedoor.keys.derive import SealingBox
from firedoor.ports.exchange import Catalog
from firedoor.ports.models import ModelServer
from firedoor.store.cache import CacheFile
from firedoor.store.cache_rows import PURPOSE
from firedoor.store.catalog import FtsCatalog
from firedoor.upstream.http import HttpModelServer, ModelClient

log = logging.getLogger("firedoor.gateway")

Tables = tuple[dict[tuple[str, str], SurfaceService], dict[tuple[str, str], SurfaceService]]
"""Surfaces for chat and for embeddings, by shop and name."""


class Surfaces:
    """Builds the surfaces served in one region, and keeps what they share: models, catalogues, searches, the cache."""

    def __init__(self, place: RegionHome, loaded: Loaded, plan_folder: Path, client: ModelClient) -> None:
        self._place = place
        self._loaded = loaded
        self._plan_folder = plan_folder
        self._client = client
        self._models: dict[str, ModelServer] = {}
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._catalogs: dict[str, Catalog] = {}
        self._searches = SharedSearches(self._products)
        self._readers = AttackReaders()
        self._replays = Replays(os.urandom(32))
        self._cache: CacheFile | None = None

    def open_cache(self, box: SealingBox) -> None:
        """Open the answer cache, where some surface has one."""
        if self._cache is None and any(surface.cache for surface in self._loaded.plan.surfaces.values()):
            self._cache = CacheFile(self._place.cache, box.subkey(PURPOSE))

    def close(self) -> None:
        """Let go of what they share."""
        self._searches.close()
        if self._cache is not None:
            self._cache.close()

    def tables(self, protection: Protection | None) -> Tables:
        """Every surface served here. With None for what is protected none of them can call a model."""
        plan, region = self._loaded.plan, self._place.name
        chat: dict[tuple[str, str], SurfaceService] = {}
        embeddings: dict[tuple[str, str], SurfaceService] = {}
        for name, surface in plan.surfaces.items():
            guarded = _guarded(protection, surface)
            in_force = protection.digest if protection is not None else ""
            for shop in plan.shops:
                if not plan.serves(name, shop):
                    continue
                for table, models in ((chat, surface.models), (embeddings, surface.embeddings)):
                    if region in models:
                        server = self._model(models[region]) if protection is not None else None
                        breaker = self._breaker(name, models[region]) if server is not None else None
                        table[shop, name] = self._surface(
                            surface, models[region], shop, guarded, server, breaker, in_force
                        )
        return chat, embeddings

    def _surface(
        self,
        surface: Surface,
        model_id: str,
        shop: str,
        guarded: Guarded,
        server: ModelServer | None,
        breaker: Breaker | None,
        in_force: str,
    ) -> SurfaceService:
        model = self._loaded.plan.models[model_id]
        handlings = Handlings(surface.personal_data)
        terms = Terms(
            model_id=model_id,
            model_name=model.name,
            remote_name=model.remote_name or model.name,
            limits=surface.limits,
            fallback=surface.fallback,
            cut_text=surface.cut_text,
            answer_rules=surface.answers,
            prompts=surface.prompts,
            cache=surface.cache,
            in_force=in_force,
            replays=self._replays,
            media=surface.personal_data.media,
            answers=handlings.answers,
        )
        searches = self._searches.of(shop, surface.personal_data)
        return SurfaceService(
            terms,
            lease=lease_of(surface),
            deadline=float(surface.deadline),
            stream_deadline=float(surface.stream_deadline),
            inspector=Inspector(searches, handlings, guarded, _this_year, self._prompt_reads(surface.prompts)),
            model=server or LateModel(no_model),
            breaker=breaker,
            catalog=self._catalog(shop) if isinstance(surface.fallback, SearchFallback) else None,
            cache=self._cache,
        )

    def _breaker(self, surface: str, model_id: str) -> Breaker:
        """One for each surface that asks a model instance: what is late for checkout is in time for a chat."""
        return self._breakers.setdefault((surface, model_id), Breaker(self._loaded.plan.models[model_id].breaker))

    def _prompt_reads(self, rules: PromptRules) -> PromptReads:
        readers, protected = self._readers, self._loaded.plan.protected
        attributes = {name: declared.attribute for name, declared in protected.items()}
        if reads_nothing(rules):
            return PromptReads(rules, None, None, attributes)
        return PromptReads(rules, readers.here, readers.beside, attributes)

    def _products(self, shop: str) -> Sequence[str]:
        """The names in the shop's catalogue. Without it more is masked than need be, and nothing else is wrong."""
        if self._loaded.plan.shops[shop].catalog is None:
            return ()
        try:
            return self._catalog(shop).names()
        except SetupError as error:
            log.warning("names of products may be masked in %s: %s", shop, error.message)
            return ()

    def _model(self, model_id: str) -> ModelServer:
        if model_id not in self._models:
            declared = self._loaded.plan.models[model_id]
            mark = partial(address_mark, self._place, model_id, declared, self._plan_folder)
            self._models[model_id] = LateModel(partial(self._find_model, model_id), mark)
        return self._models[model_id]

    def _find_model(self, model_id: str) -> ModelServer:
        url, key = model_address(self._place, model_id, self._loaded.plan.models[model_id], self._plan_folder)
        return HttpModelServer(url, key, client=self._client)

    def _catalog(self, shop: str) -> Catalog:
        if shop not in self._catalogs:
            self._catalogs[shop] = FtsCatalog(self._place.catalog(shop))
        return self._catalogs[shop]


def _guarded(protection: Protection | None, surface: Surface) -> Guarded:
    """What the answers of `surface` must not hold; nothing without keys, for then no model is called."""
    if protection is None:
        nothing = LeakIndex(ValueIndex(()))
        return Guarded(nothing, lambda: nothing)
    sets, rules = frozenset(surface.protect), surface.answers
    return Guarded(protection.index(sets, rules), cache(partial(protection.index, sets, rules, beside=True)))


def _this_year() -> int:
    return time.gmtime().tm_year
