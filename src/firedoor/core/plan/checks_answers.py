"""Checks of answers: whom they may be given to, and given again to; and of model instances that are watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from firedoor.core.plan.faults import Fault, Path, nearest, one_of, shown
from firedoor.core.plan.model import CHECKOUT_SURFACES, Plan, RulesFallback

MIN_TTL, MAX_TTL = 1.0, 86_400.0
"""Seconds. Below a second nobody asks the same again; after a day prices, stock and return rules are others."""
MIN_LOOK = 5.0
"""Seconds between looks at a model instance; probes of a slow one take as long."""
MAX_PROBES = 16
MIN_DELAY, MAX_DELAY = 0.1, 10.0
"""Seconds that a slowed session waits: less slows nobody, more holds connections that an attacker opens."""
NO_ROLE = "shopper"
"""What the shop's server calls a caller without a role: nothing can be granted to it."""


def decisions_are_never_cached(plan: Plan) -> Iterator[Fault]:
    """A decision on a payment is about this payment: yesterday's would let the next one through."""
    for name, surface in plan.surfaces.items():
        if surface.cache is None:
            continue
        if name in CHECKOUT_SURFACES:
            problem = f"{name} decides in the checkout path: every decision is a new one"
        elif isinstance(surface.fallback, RulesFallback):
            problem = f"{name} falls back to rules, so it decides: every decision is a new one"
        else:
            continue
        yield Fault(("surfaces", name, "cache"), problem, "Remove `cache`.")


def slowed_sessions_are_answered(plan: Plan) -> Iterator[Fault]:
    """A turn that waits is still answered within its deadline."""
    for name, surface in plan.surfaces.items():
        if not MIN_DELAY <= surface.prompts.delay <= MAX_DELAY:
            path: Path = ("surfaces", name, "prompts", "delay")
            yield Fault(path, f"{surface.prompts.delay} is out of bounds", "From 100ms to 10s.")


def cached_answers_grow_old(plan: Plan) -> Iterator[Fault]:
    """A cached answer is given again for a while that means something."""
    for name, surface in plan.surfaces.items():
        if surface.cache is not None and not MIN_TTL <= surface.cache.ttl <= MAX_TTL:
            problem = f"{surface.cache.ttl} is out of bounds"
            yield Fault(("surfaces", name, "cache", "ttl"), problem, "From 1s to 24h.")


def decisions_have_no_holes(plan: Plan) -> Iterator[Fault]:
    """A shop's software reads a decision: one with a mark in it says something else, or nothing."""
    for name, surface in plan.surfaces.items():
        if name not in CHECKOUT_SURFACES and not isinstance(surface.fallback, RulesFallback):
            continue
        for key in ("leak", "doubtful", "secrets", "system_prompt"):
            if getattr(surface.answers, key) == "mask":
                problem = f"{name} decides, and a decision cannot be masked"
                yield Fault(("surfaces", name, "answers", key), problem, "Write `cut`: then its rules decide.")


def embeddings_are_no_texts(plan: Plan) -> Iterator[Fault]:
    """Where nothing but embeddings is given, no prompt can be told and no answer given again."""
    for name, surface in plan.surfaces.items():
        if surface.models or not surface.embeddings:
            continue
        if surface.answers.system_prompt != "off":
            path: Path = ("surfaces", name, "answers", "system_prompt")
            yield Fault(path, f"{name} has no model for chat, so there is no prompt", "Remove it.")
        if surface.cache is not None:
            problem = f"{name} has no model for chat, and embeddings are not cached"
            yield Fault(("surfaces", name, "cache"), problem, "Remove `cache`.")


def grants_name_known_things(plan: Plan) -> Iterator[Fault]:
    """Roles receive declared sets on declared surfaces; a shopper is no role."""
    for role, grant in plan.grants.items():
        path: Path = ("grants", role)
        if role == NO_ROLE:
            problem = "is what a caller without a role is called"
            yield Fault(path, problem, "Name the role after those who have it, such as purchasing.")
        yield from _unknown((*path, "receives"), "protected set", grant.receives, plan.protected)
        yield from _unknown((*path, "surfaces"), "surface", grant.surfaces, plan.surfaces)


def models_can_be_watched(plan: Plan) -> Iterator[Fault]:
    """A look at a model instance ends before the next one, and probes are asked where somebody answers."""
    for name, model in plan.models.items():
        if model.integrity is None:
            continue
        path: Path = ("models", name, "integrity")
        if model.integrity.every < MIN_LOOK:
            yield Fault((*path, "every"), f"{model.integrity.every} is too often", f"At least {MIN_LOOK:g}s.")
        if len(model.integrity.probes) > MAX_PROBES:
            problem = f"has {len(model.integrity.probes)} probes"
            yield Fault((*path, "probes"), problem, f"At most {MAX_PROBES}: each takes a place at the model server.")
        if model.integrity.probes and "chat" not in model.serves:
            yield Fault((*path, "probes"), "are questions, and this instance serves no chat", "Remove them.")


def _unknown(path: Path, kind: str, names: tuple[str, ...], known: Mapping[str, object]) -> Iterator[Fault]:
    for position, name in enumerate(names):
        if name not in known:
            yield Fault((*path, position), f"unknown {kind} {shown(name)}", f"{nearest(name, known)}{one_of(known)}")
