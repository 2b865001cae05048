"""What control sees of a model instance that it isolates, and the isolation of a region put together."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from yarl import URL

from firedoor.app.modelwatch import own_process, target
from firedoor.app.recent import recent_exchanges
from firedoor.config import RegionHome
from firedoor.control.isolation import Isolations
from firedoor.core.integrity import MODEL_FIELDS, PROPS_FIELDS, Look, compare, digest_of
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError, SetupError
from firedoor.keys.derive import SealingBox
from firedoor.ports.evidence import Journal
from firedoor.store.baselines import BaselineFile
from firedoor.store.isolated import IsolationFiles
from firedoor.upstream.integrity import Failed, ModelLooker, Page, Target, seen_of
from firedoor.upstream.ownprocess import FILES_OF_PROCESS, FileDigests, process_items
from firedoor.upstream.procs import identity
from firedoor.upstream.procstate import process_state

LIVE: Final = 0.9
"""Seconds for all that only a living process tells: what hangs must not keep the next step waiting."""
PAGE_TEXT: Final = 32_768
"""Characters of a server's own page in the record; a chat template has about 10,000. Beyond that its digest only."""
WORD: Final = 200
"""Characters of one thing that a server says of itself."""
HOUR: Final = 3600
SAID: Final = (*MODEL_FIELDS, *PROPS_FIELDS, "model_path", "version")
"""What of a server's pages is kept as it stands, cut off at `WORD`."""
PACKAGES: Final = ("firedoor", "xllamacpp", "aiohttp")


class ModelExaminer:
    """See `firedoor.control.isolation.Examiner`, for the model instances of one region."""

    def __init__(
        self, place: RegionHome, loaded: Loaded, plan_folder: Path, box: SealingBox, now_ns: Callable[[], int]
    ) -> None:
        self._place = place
        self._loaded = loaded
        self._plan_folder = plan_folder
        self._box = box
        self._now_ns = now_ns
        self._looker = ModelLooker()
        self._digests = FileDigests()
        self._targets: dict[str, Target] = {}
        self._pages: dict[str, dict[str, str]] = {}
        self._programs: dict[str, int] = {}

    def knows(self, model: str) -> bool:
        """See the protocol."""
        declared = self._loaded.plan.models.get(model)
        return declared is not None and declared.region == self._place.name

    def own(self, model: str) -> bool:
        """See the protocol."""
        return self._loaded.plan.models[model].engine != "openai"

    async def revoke(self, model: str) -> dict[str, Any]:
        """See the protocol. The key in the file goes; a provider's key can only be revoked there."""
        if not self.own(model):
            named = self._loaded.plan.models[model].api_key_file
            return {"key": "at_provider" if named is not None else "none"}
        with contextlib.suppress(FiredoorError, OSError):  # then nobody here has a key to ask its server with
            self._targets[model] = await asyncio.to_thread(self._target, model)
        await asyncio.to_thread(self._place.model_key(model).unlink, missing_ok=True)
        return {"key": "revoked"}

    async def alive(self, model: str) -> dict[str, Any]:
        """See the protocol."""
        declared = self._loaded.plan.models[model]
        details: dict[str, Any] = {
            "instance": {"model": model, "engine": declared.engine, "name": declared.name, "plan": self._loaded.digest},
            "versions": {"python": platform.python_version(), **_versions()},
            "seen_at": self._now_ns() // 1_000_000_000,
        }
        found = self._targets.get(model) or await asyncio.to_thread(self._keyless, model)
        if found is None:
            return {**details, "server": {"not_seen": "no_address"}, "look": msgspec.to_builtins(Look())}
        details["instance"]["address"] = str(URL(found.url).with_user(None))
        server, own = await asyncio.gather(
            self._server(model, found), asyncio.to_thread(self._process, model, found)
        )  # fmt: skip
        look = Look({**server.pop("seen"), **own.pop("seen")}, {**server.pop("unseen"), **own.pop("unseen")})
        return {**details, "server": server, **own, "look": msgspec.to_builtins(look)}

    async def sealed(self, model: str, details: dict[str, Any]) -> dict[str, Any]:
        """See the protocol."""
        return await asyncio.to_thread(self._sealed, model, details)

    def body(self, model: str, details: dict[str, Any]) -> dict[str, Any]:
        """See the protocol: the server's own pages are on no disk before, for nobody knows what they hold."""
        pages = self._pages.pop(model, None)
        self._targets.pop(model, None)
        if (program := self._programs.pop(model, -1)) >= 0:
            os.close(program)
        return {**details, "pages": pages} if pages else details

    async def glance(self, model: str) -> dict[str, Any]:
        """As `alive`, of an instance that nobody isolates, with the server's own pages; nothing stays open."""
        try:
            with contextlib.suppress(FiredoorError, OSError):
                self._targets[model] = await asyncio.to_thread(self._target, model)
            details = await self.alive(model)
        except BaseException:
            self.body(model, {})
            raise
        return self.body(model, details)

    async def aclose(self) -> None:
        """Let go of connections and files."""
        for program in self._programs.values():
            os.close(program)
        self._programs.clear()
        await self._looker.aclose()

    # --- while it lives -----------------------------------------------------------------------------------------------

    def _target(self, model: str) -> Target:
        return target(self._place, model, self._loaded.plan.models[model], self._plan_folder)

    def _keyless(self, model: str) -> Target | None:
        """The instance after its key is gone: control was ended in between. None if it has no address either."""
        declared = self._loaded.plan.models[model]
        try:
            url = declared.url or self._place.model_url(model).read_text("ascii").strip()
            own = own_process(self._place, model, declared, self._plan_folder)
        except (SetupError, OSError):
            return None
        return Target(url, None, (declared.remote_name or declared.name, declared.name), (), own)

    async def _server(self, model: str, found: Target) -> dict[str, Any]:
        """What the server says of itself: digests and short words, its pages whole in memory only."""
        pages = await self._looker.pages(found, LIVE)
        texts = {name: _text(page.document) for name, page in pages.items() if isinstance(page, Page)}
        self._pages[model] = {name: text for name, text in texts.items() if text and len(text) <= PAGE_TEXT}
        look = seen_of(pages, found.names)
        said = {name: _said(page) for name, page in pages.items()}
        return {**said, "seen": look.seen, "unseen": look.unseen}

    def _process(self, model: str, found: Target) -> dict[str, Any]:
        """The process, if it is ours. Its program stays open: when the process is gone, its bytes can still be read."""
        own = found.process
        if own is None:
            return {"process": {"not_seen": "not_ours"}, "seen": {}, "unseen": {}}
        seen, unseen = process_items(own, found.url, self._digests, without=FILES_OF_PROCESS)
        if own.pid is None:
            return {"process": {"not_seen": "gone"}, "seen": seen, "unseen": unseen}
        with contextlib.suppress(OSError):
            self._programs[model] = os.open(f"/proc/{own.pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
        state = process_state(own.pid)
        command = {"sha256": digest_of(state["command"])} if "command" in state else {}
        return {"process": state, "command": command, "seen": seen, "unseen": unseen}

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def _sealed(self, model: str, details: dict[str, Any]) -> dict[str, Any]:
        look = msgspec.convert(details.get("look", {}), Look)
        seen, unseen = dict(look.seen), dict(look.unseen)
        weights, program = self._weights(model), self._program(model, details)
        for item, found in (("weights.file", weights), ("arguments.program", program)):
            if not self.own(model):
                continue
            if "sha256" in found:
                seen[item] = found["sha256"]
            else:
                unseen[item] = found["not_seen"]
        try:
            baseline = BaselineFile(self._place.baselines, self._box).baseline(model)
            verified = compare(baseline, Look(seen, unseen))
            compared = {"state": verified.state, "changed": list(verified.changed), "not_seen": verified.unseen}
        except FiredoorError:
            compared = {"state": "not_verified", "changed": [], "not_seen": {"baseline": "cannot_be_read"}}
        until = int(details.get("seen_at", self._now_ns() // 1_000_000_000)) + 1
        state = self._loaded.plan.regions[self._place.name].state
        exchanges = recent_exchanges(self._place, state, model, since=until - HOUR, until=until)
        return {"weights": weights, "program": program, "baseline": compared, "exchanges": exchanges}

    def _weights(self, model: str) -> dict[str, Any]:
        """The file that the server loads; of sealed weights the sealed file: what is in memory only stays there."""
        if not self.own(model):
            return {"not_seen": "not_ours"}
        declared = self._loaded.plan.models[model]
        try:
            own = own_process(self._place, model, declared, self._plan_folder)
            assert own is not None  # it is ours
            found = {"file": str(own.file), "bytes": own.file.stat().st_size, "sha256": self._digests.of(own.file)}
        except (SetupError, OSError) as error:
            return {"not_seen": "cannot_be_read" if isinstance(error, OSError) else "not_there"}
        return {**found, "sealed": True} if declared.sealed else found

    def _program(self, model: str, details: dict[str, Any]) -> dict[str, Any]:
        """The program of the process: the very file that it runs, while it runs or its file is open here."""
        process = details.get("process", {})
        pid, born = process.get("pid"), process.get("born")
        try:
            if model in self._programs:
                return {"sha256": _digest(Path(f"/proc/self/fd/{self._programs[model]}"))}
            if isinstance(pid, int) and born and identity(pid) == born:
                return {"sha256": _digest(Path(f"/proc/{pid}/exe"))}
            if "program" in process:  # control was ended meanwhile: the file that lies there now
                return {"sha256": _digest(Path(process["program"])), "of": "path"}
        except PermissionError:
            return {"not_seen": "not_permitted"}
        except OSError:
            return {"not_seen": "cannot_be_read"}
        return {"not_seen": str(process.get("not_seen", "gone")) if self.own(model) else "not_ours"}


@contextlib.asynccontextmanager
async def region_isolation(
    place: RegionHome, loaded: Loaded, plan_folder: Path, box: SealingBox, journal: Journal, now_ns: Callable[[], int]
) -> AsyncIterator[Isolations]:
    """The isolation of a region's model instances, for its control; `resume` it once the switches show."""
    examiner = ModelExaminer(place, loaded, plan_folder, box, now_ns)
    files = IsolationFiles(place.isolated, place.run)
    isolations = Isolations(place.name, notes=files, examiner=examiner, journal=journal, now_ns=now_ns)
    try:
        yield isolations
    finally:
        await isolations.aclose()
        await examiner.aclose()


def _said(page: Page | Failed) -> dict[str, Any]:
    """A page in short: its digest, and what of it says which server and model it is."""
    if isinstance(page, Failed):
        return {"not_seen": page.reason}
    if page.document is None:
        return {"not_seen": "no_such_page"}
    rows = page.document.get("data") if isinstance(page.document, dict) else None
    rows = [row for row in (rows if isinstance(rows, list) else [page.document]) if isinstance(row, dict)]
    words = [{name: str(row[name])[:WORD] for name in SAID if name in row} for row in rows[:8]]
    return {"sha256": digest_of(page.document), "said": words}


def _text(document: Any) -> str:
    return "" if document is None else msgspec.json.encode(document).decode()


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _digest(path: Path) -> str:
    """SHA-256 (hex). Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
