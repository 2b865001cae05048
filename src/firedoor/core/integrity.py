"""Whether a model instance is still the one whose baseline was taken. Pure.

Everything looked at is an item with a digest: ``weights.file``, ``arguments.command``, ``description.models``,
``probe.ID`` … The first word is the part of the instance that it tells about. What cannot be looked at is never "same".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from firedoor.core.evidence.record import Fact
from firedoor.core.plan.model import Integrity, Probe
from firedoor.core.switches import Scope

Part = Literal["weights", "arguments", "description", "probe"]
PARTS: tuple[Part, ...] = get_args(Part)

State = Literal["same", "drift", "not_verified"]

ABSENT = ""
"""The digest of what is certainly not there: a page that the server does not have, a model that it does not list."""

NO_BASELINE = "no_baseline"

VERSION = 1
"""Of the items and how their digests are made: another release's baseline can be compared only if it is the same."""

START_WORDS = 3
"""Words of a probe's answer that count as its beginning: about as many tokens, and the last to change by rounding."""

MODEL_FIELDS = (
    "id", "root", "parent", "owned_by", "max_model_len", "aliases", "tags", "meta", "type", "arch", "architecture",
    "publisher", "quantization", "compatibility_type", "context_length", "context_window", "max_context_length",
)  # fmt: skip
"""Fields of an entry of ``/v1/models`` that say which model it is. Times and permissions change with every start."""
PROPS_FIELDS = ("model_alias", "model_ftype", "build_info", "total_slots", "modalities", "bos_token", "eos_token")
"""Fields of llama.cpp's ``/props`` that say the same; path, chat template, context, adapters are taken beside them."""
MEMORY = "/proc/self/fd/"
"""Where weights in memory lie: followed by a number that is another one at every start."""


class Look(Struct, frozen=True):
    """What was seen of a model instance: digests by item, and the items that could not be looked at, with a reason."""

    seen: dict[str, str] = {}
    unseen: dict[str, str] = {}


class Baseline(Struct, frozen=True):
    """A model instance as it was when somebody said that it is right. `at` is Unix seconds.

    `unused` are items that tell nothing here, with the reason: a probe that was not stable, a process that hides.
    """

    at: int
    items: dict[str, str]
    unused: dict[str, str] = {}
    version: int = VERSION


class Verified(Struct, frozen=True):
    """What comparing gave: the items that changed, and those that could not be looked at, with a reason."""

    state: State
    changed: tuple[str, ...] = ()
    unseen: dict[str, str] = {}
    print: str = ""
    """Stands for this change: the same as long as nothing else changes. Empty unless `state` is ``drift``."""

    @property
    def what(self) -> list[str]:
        """The parts that changed, in the order of `PARTS`."""
        changed = {part_of(item) for item in self.changed}
        return [part for part in PARTS if part in changed]


def part_of(item: str) -> str:
    """The part of a model instance that an item tells about."""
    return item.partition(".")[0]


def compare(baseline: Baseline | None, look: Look) -> Verified:
    """One item that differs is a drift; else one that was not seen, or has no baseline, leaves all unverified."""
    if baseline is None:
        return Verified("not_verified", unseen={**look.unseen, "baseline": NO_BASELINE})
    if baseline.version != VERSION:
        return Verified("not_verified", unseen={**look.unseen, "baseline": "of_another_release"})
    used = {item: digest for item, digest in look.seen.items() if item not in baseline.unused}
    changed = tuple(sorted(i for i, digest in used.items() if baseline.items.get(i, digest) != digest))
    unseen = {item: why for item, why in look.unseen.items() if item not in baseline.unused}
    unseen |= {item: NO_BASELINE for item in used if item not in baseline.items}
    # A probe that the plan no longer asks is missed by nobody.
    left = baseline.items.keys() - used.keys() - unseen.keys()
    unseen |= {item: "not_looked_at" for item in left if part_of(item) != "probe"}
    if changed:
        # What another model answers may be another thing each time: that is one change, told once.
        kinds = [["probe"] if part_of(item) == "probe" else [item, used[item]] for item in changed]
        return Verified("drift", changed, unseen, digest_of(sorted({tuple(kind) for kind in kinds})))
    return Verified("not_verified" if unseen or not used else "same", (), unseen)


def drift_facts(region: str, model: str, found: Verified, integrity: Integrity) -> dict[str, Fact]:
    """The facts of the finding about a drift: parts and names, no digests and no answers."""
    return {
        "rule": "model_drift",
        "stage": "model",
        "scope": str(Scope(region, model=model)),
        "model": model,
        "what": found.what,
        "verdict": integrity.on_drift,
    }


# --- items ------------------------------------------------------------------------------------------------------------


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of `value` as JSON with sorted keys."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def described(listing: Any, names: Iterable[str]) -> str:
    """The digest of what ``/v1/models`` says of the model that is called one of `names`; ABSENT if it lists none.

    Ollama adds ``:latest`` to a name without a tag. A server with one model lists that one, whatever it calls it.
    """
    rows = listing.get("data") if isinstance(listing, dict) else None
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    wanted = {spelling for name in names for spelling in (name, f"{name}:latest")}
    found = [row for row in rows if row.get("id") in wanted] or (rows if len(rows) == 1 else [])
    return digest_of({name: found[0][name] for name in MODEL_FIELDS if name in found[0]}) if found else ABSENT


def propertied(props: Any) -> str:
    """The digest of llama.cpp's ``/props``: its model, build, chat template; ABSENT for anything else."""
    if not isinstance(props, dict) or not ({"model_path", "build_info", "chat_template"} & props.keys()):
        return ABSENT
    told = {name: props[name] for name in PROPS_FIELDS if name in props}
    told["path"] = _steady(str(props.get("model_path")))
    told["template"] = digest_of(props.get("chat_template"))
    settings = props.get("default_generation_settings")
    if isinstance(settings, dict):
        told["context"] = settings.get("n_ctx")
        params = settings.get("params")
        told["adapters"] = params.get("lora") if isinstance(params, dict) else None
    return digest_of(told)


def commanded(arguments: list[str]) -> str:
    """The digest of a model server's command line, without what is another at every start: port and descriptor."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and argument != "--port":
            kept.append(_steady(argument))
        skip = argument == "--port"
    return digest_of(kept)


def _steady(path: str) -> str:
    return "(memory)" if path.startswith(MEMORY) else path


def probe_item(probe: Probe) -> str:
    """The item of a probe: another question, or another length, is another item."""
    return f"probe.{digest_of([probe.ask, probe.tokens])[:12]}"


def probe_request(probe: Probe, model: str) -> dict[str, Any]:
    """The chat request that asks a probe."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": probe.ask}],
        "temperature": 0,
        "seed": 0,
        "max_tokens": probe.tokens,
        "stream": False,
    }


def probe_answer(item: str, completion: Any) -> dict[str, str]:
    """The items of a probe's answer: the whole of it and its beginning, without case and space; none if empty."""
    try:
        message = completion["choices"][0]["message"]
        text = "\n".join(message[k] for k in ("reasoning_content", "content") if isinstance(message.get(k), str))
    except (AttributeError, IndexError, KeyError, TypeError):
        return {}
    words = text.casefold().split()
    if not words:
        return {}
    return {item: digest_of("".join(words)), f"{item}.start": digest_of("".join(words[:START_WORDS]))}


def learnt(at: int, look: Look, unused: Mapping[str, str]) -> Baseline:
    """The baseline of a model instance that looked like this; what could not be seen is not used."""
    return Baseline(at, {i: d for i, d in look.seen.items() if i not in unused}, {**look.unseen, **unused})
