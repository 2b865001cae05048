"""What is right and wrong with an installation as it is, running or not. Looks, tells, and changes nothing.

Every check yields findings and raises none of our errors, so that one broken thing does not hide the others.
"""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from firedoor.app.health import ANSWER_SECONDS, health, slot_is_held
from firedoor.app.hookcheck import hook_findings
from firedoor.app.hostcheck import Finding, Level, host_findings
from firedoor.app.identity import REGION_SLOT
from firedoor.app.incidentdoctor import incident_findings
from firedoor.app.modelwatch import model_findings
from firedoor.app.regionkeys import open_region
from firedoor.app.sealed import Unlocked, What
from firedoor.app.switchcheck import switch_findings
from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Dataset, Loaded, Model, Plan
from firedoor.errors import FiredoorError, ModelFailed, PlanInvalid
from firedoor.keys.audit import audit
from firedoor.keys.ring import Ring
from firedoor.keys.roots import open_root
from firedoor.models.installed import deep_lack
from firedoor.models.shipped import Weights
from firedoor.store import planfile
from firedoor.store.files import read_bounded
from firedoor.upstream.http import HttpModelServer

STATUS_SECONDS = 30
"""The agent tells how it does every two seconds; older than this it hangs."""
STATUS_LIMIT = 4 * 1024 * 1024
SECRETS = ("credentials.json", "control.sqlite", "protected.sealed", "baselines.sealed", "run/*.key")
"""Files of a region that are nobody else's business, beside the folder of keys, which has a check of its own."""


def examine(home: Home, named: str | None = None) -> Iterator[Finding]:
    """Everything about `home`, or about its region `named` only."""
    loaded, findings = _plan(home)
    yield from findings
    sealed = loaded is not None and any(model.sealed for model in loaded.plan.models.values())
    yield from host_findings(home.root, memory_weights=sealed)
    if loaded is None:  # then at least that nobody else reads along
        for folder in sorted(home.root.glob("regions/*/")):
            for finding in _modes(home.region(folder.name)):
                yield msgspec.structs.replace(finding, region=folder.name)
        return
    if named is not None and named not in loaded.plan.regions:
        yield Finding("FAIL", f"plan: no region {named}", f"It has: {', '.join(loaded.plan.regions)}.")
    for name in loaded.plan.regions:
        if named in {None, name}:
            yield from (msgspec.structs.replace(finding, region=name) for finding in _region(home, loaded, name))


def _plan(home: Home) -> tuple[Loaded | None, list[Finding]]:
    try:
        loaded = planfile.load(home.plan)
    except PlanInvalid as invalid:
        first = invalid.problems[0]
        what = f"plan: {len(invalid.problems)} problems; the first in line {first.line}: {first.path}: {first.message}"
        return None, [Finding("FAIL", what, "Run `firedoor check` for all of them.")]
    except FiredoorError as error:
        return None, [_fail("plan", error)]
    missing = [
        Finding("FAIL", f"plan: {where}: the file {name} is not there", "Put it there, or correct the plan.")
        for where, name in planfile.missing_files(loaded.plan, home.root)
    ]
    sound = Finding("ok", f"plan: {loaded.plan.name}, {loaded.digest[:12]}")
    return loaded, [sound, *missing, *_detection(loaded.plan)]


def _detection(plan: Plan) -> Iterator[Finding]:
    """What surfaces need to look for personal data: without it they give fallbacks only."""
    try:
        card = Weights().card
    except FiredoorError as error:
        yield _fail("personal data", error)
    else:
        yield Finding("ok", f"personal data: weights of version {card.version}, whole")
    deep = [name for name, surface in plan.surfaces.items() if surface.personal_data.deep != "off"]
    lack = deep_lack() if deep else None
    if lack is not None:
        yield _fail(f"surface {deep[0]}: fallbacks only", lack)


def _region(home: Home, loaded: Loaded, name: str) -> Iterator[Finding]:
    place = home.region(name)
    if not place.root.is_dir():
        yield Finding("warn", "was never started", "`firedoor up` makes its keys and folders.")
        return
    yield from _modes(place)
    yield from _keys(place, loaded, home.root)
    ring = _ring(place, loaded, home.root)
    for model_name, model in loaded.plan.models.items():
        if model.region == name and model.sealed and model.weights is not None:
            yield _sealed(home.root / model.weights, What("model", model_name), ring)
    for dataset_name, dataset in loaded.plan.datasets.items():
        if dataset.region == name:
            yield _dataset(home.root, dataset_name, dataset, ring)
    yield from asyncio.run(_processes(place, loaded, home.root))
    yield from model_findings(place, loaded)
    yield from hook_findings(place, loaded, home.root)
    yield from asyncio.run(switch_findings(home, place, loaded, home.root))
    if ring is not None:
        yield from incident_findings(place, loaded, ring.worker().protect)
    yield from _agent(place)


def _modes(place: RegionHome) -> Iterator[Finding]:
    """The region's folder keeps everybody else out; what is secret in it is private by itself too."""
    open_ones = [path for path in (place.root, *(p for name in SECRETS for p in place.root.glob(name))) if _open(path)]
    for path in open_ones:
        wanted = "700" if path.is_dir() else "600"
        yield Finding("FAIL", f"files: other users have access to {path}", f"Run chmod {wanted} on it.")
    if not open_ones:
        yield Finding("ok", "files: private to their owner")


def _open(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False  # replaced or removed while we looked


def _keys(place: RegionHome, loaded: Loaded, plan_folder: Path) -> Iterator[Finding]:
    """What `firedoor keys audit` finds."""
    if not place.ring.exists() and not any(place.journals.glob("*/*.journal")):
        yield Finding("warn", "keys: none yet", "`firedoor up` makes them.")
        return
    try:
        root = open_root(loaded.plan.regions[place.name].root, place.name, place.keys, plan_folder)
    except FiredoorError as error:
        yield _fail("keys", error)
        return
    found = audit(place.keys, place.name, root, now=time.time())
    for finding in found.findings:
        yield Finding("FAIL" if finding.level == "error" else "warn", f"keys: {finding.text}", finding.remedy)
    if found.ok:
        yield Finding("ok", f"keys: {len(found.keys)}, all open; {found.root}")


def _ring(place: RegionHome, loaded: Loaded, plan_folder: Path) -> Ring | None:
    try:
        return open_region(place, loaded, plan_folder)
    except FiredoorError:
        return None  # told by `_keys`


def _dataset(plan_folder: Path, name: str, dataset: Dataset, ring: Ring | None) -> Finding:
    if dataset.sealing == "provider" or dataset.path is None:
        where = dataset.path or "a server"
        what = f"dataset {name}: {where} is said to be encrypted by its provider, which cannot be seen from here"
        return Finding("warn", what, "Look at the provider's own settings, or seal it with `firedoor keys seal`.")
    return _sealed(plan_folder / dataset.path, What("dataset", name), ring)


def _sealed(path: Path, what: What, ring: Ring | None) -> Finding:
    """Whether the signature holds and the first and last chunk of every file open with this region's key."""
    if ring is None:
        return Finding("FAIL", f"{what}: the region's keys cannot be used", "See to the keys first.")
    if ring.state.find(*what) is None:  # asking for the key would make one
        return Finding("FAIL", f"{what}: this region never sealed it", "Seal it here: `firedoor keys seal`.")
    try:
        unlocked = Unlocked(path, what, ring)
        for part in unlocked.files:
            with unlocked.reader(part) as reader:
                reader.read(0, 1)
    except FiredoorError as error:
        return _fail(str(what), error)
    except OSError as error:
        return Finding(
            "FAIL", f"{what}: {path.name} cannot be read: {error.strerror}", "See to its owner and the disk."
        )
    vouched = "sealed and signed" if unlocked.signed else "sealed; nobody signed it"
    return Finding("ok", f"{what}: {vouched}, {len(unlocked.files)} file(s)")


async def _processes(place: RegionHome, loaded: Loaded, plan_folder: Path) -> list[Finding]:
    plan = loaded.plan
    asked: list[Awaitable[Finding]] = [
        _connects("control", lambda: asyncio.open_unix_connection(place.control_socket)),
        _gateway(place.name, plan.regions[place.name].listen),
    ]
    asked += [_model(place, n, m, plan_folder) for n, m in plan.models.items() if m.region == place.name]
    return list(await asyncio.gather(*asked))


async def _connects(
    name: str, opening: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
) -> Finding:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await opening()
    except (OSError, TimeoutError):
        return Finding("warn", f"{name}: does not run", "Start it with `firedoor up`, if it should.")
    writer.close()
    return Finding("ok", f"{name}: listens")


async def _gateway(region: str, listen: str) -> Finding:
    found = await health(listen)
    if found is None:
        return Finding("warn", "gateway: does not run", "Start it with `firedoor up`, if it should.")
    if found.region != region:
        what = f"the gateway of region {found.region}" if found.region else "another program"
        return Finding("FAIL", f"gateway: {what} answers on {listen}", "Give each its own port: `listen` in the plan.")
    if found.journal != "ok":
        remedy = "It has no keys, or its journal failed: see its log in the region's folder run."
        return Finding("FAIL", "gateway: gives fallbacks only, for it can record nothing", remedy)
    if found.breakers:
        what = f"gateway: the breaker of {', '.join(sorted(found.breakers))} is open, so fallbacks are given"
        return Finding("warn", what, "It closes by itself; see to the model server.")
    return Finding("ok", "gateway: answers")


async def _model(place: RegionHome, name: str, model: Model, plan_folder: Path) -> Finding:
    """Whether a model instance answers a question for its models."""
    own = model.engine != "openai"
    files = (place.model_url(name), place.model_key(name))
    try:
        url = read_bounded(files[0], 4096).decode().strip() if own else str(model.url)
        key_file = files[1] if own else plan_folder / model.api_key_file if model.api_key_file else None
        key = read_bounded(key_file, 4096).decode().strip() if key_file is not None else None
        server = HttpModelServer(url, key)
    except FileNotFoundError:
        return Finding("warn", f"model {name}: does not run", "`firedoor up` starts it.")
    except (OSError, FiredoorError, UnicodeDecodeError):
        return Finding("FAIL", f"model {name}: its address or key cannot be read", "See to its files' owner.")
    try:
        answer = await server.call("/models", b"", timeout=ANSWER_SECONDS)
        status = answer.status
        await answer.aclose()
    except ModelFailed as error:
        return Finding(
            "warn", f"model {name}: does not answer ({error.reason})", "Its surfaces fall back until it does."
        )
    finally:
        await server.aclose()
    if status != 200:
        return Finding("FAIL", f"model {name}: answers with status {status}", "See to its address and API key.")
    return Finding("ok", f"model {name}: answers")


class _Log(Struct, frozen=True):
    slot: str
    state: str
    reason: str | None = None


class _Party(Struct, frozen=True):
    name: str = "time stamps"
    reason: str | None = None


class _Index(Struct, frozen=True):
    problem: str | None = None
    damaged: tuple[str, ...] = ()


class _Status(Struct, frozen=True):
    """What the agent writes every two seconds, as far as it is looked at here."""

    at: int
    logs: list[_Log]
    witnesses: list[_Party] = []
    cosigns: str | None = None
    failed: dict[str, str] = {}
    timestamp: _Party | None = None
    index: _Index = _Index()


def _agent(place: RegionHome) -> Iterator[Finding]:
    """What the agent says of the evidence logs, witnesses, time stamps and the index."""
    path = place.logs / "status.json"
    try:
        status = msgspec.json.decode(read_bounded(path, STATUS_LIMIT), type=_Status)
    except FileNotFoundError:
        yield Finding("warn", "agent: has not run yet", "`firedoor up` starts it; evidence is not signed until then.")
        return
    except (OSError, FiredoorError, msgspec.MsgspecError):
        yield Finding("FAIL", "agent: its status file cannot be read", f"See to {path}; a running agent rewrites it.")
        return
    age = time.time() - status.at
    if not slot_is_held(place.journal(REGION_SLOT)):
        what = f"agent: does not run, last heard of {age:.0f} s ago"
        yield Finding("warn", what, "Start it; evidence is not signed until then. What it said last:")
    elif not -STATUS_SECONDS < age < STATUS_SECONDS:
        yield Finding("FAIL", f"agent: hangs, last heard of {age:.0f} s ago", "Restart it; see agent.log.")
    bad = [log for log in status.logs if log.state != "ok"]
    for log in bad:
        level: Level = "FAIL" if log.state == "refused" else "warn"
        remedy = "Run `firedoor evidence verify`; keep the folder as it is, it is evidence."
        if log.reason == "halted":
            remedy = "A witness knows another history: `firedoor evidence status` says which. No restart helps."
        yield Finding(level, f"log {log.slot}: {log.state} ({log.reason or 'no reason'})", remedy)
    for party in (*status.witnesses, *([status.timestamp] if status.timestamp is not None else [])):
        if party.reason is not None:
            yield Finding(
                "warn", f"{party.name}: {party.reason}", "Is it reachable, and are its keys in the plan right?"
            )
    for part, problem in status.failed.items():
        yield Finding("warn", f"agent: its part {part} failed: {problem}", "It is begun again every ten seconds.")
    if status.cosigns is not None:
        yield Finding("warn", f"witness: it signs for nobody: {status.cosigns}", "See to its clock, file and disk.")
    for slot in status.index.damaged:
        yield Finding("FAIL", f"index: the journal of {slot} cannot be read on", "Run `firedoor evidence verify`.")
    if status.index.problem is not None:
        yield Finding("warn", f"index: {status.index.problem}", "It goes on by itself once that is mended.")
    if not bad:
        yield Finding("ok", f"logs: {len(status.logs)}, signed up to date" if status.logs else "logs: none yet")


def _fail(what: str, error: FiredoorError) -> Finding:
    return Finding("FAIL", f"{what}: {error.message}", error.remedy)
