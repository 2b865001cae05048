"""The person at this terminal: who they say they are, and their key, which never leaves this process."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from firedoor.cli.passphrase import passphrase
from firedoor.config import Home, RegionHome
from firedoor.core.people import NOTE_CHARACTERS, Act, Signature, note_digest
from firedoor.keys import people as keys

AsOption = Annotated[str, typer.Option("--as", envvar="FIREDOOR_AS", help="Your id in the plan.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Your key file; keys/ID.key unless named.")]
NoteHelp = f"Why, in at most {NOTE_CHARACTERS} characters; kept sealed in the evidence."

ActName = Literal["shut", "open", "end_drill", "incident", "see_incident"]


class Signer:
    """A person with their key unlocked. Raises `KeyUnusable`, `SetupError` when it is made."""

    def __init__(self, home: Home, person: str, key: Path | None, passphrase_file: Path | None) -> None:
        path = key or home.keys / f"{person}.key"
        self.person = person
        self._key = keys.load(path, passphrase(passphrase_file, whose=person))

    def act(self, region: RegionHome, plan: str, act: ActName, args: dict[str, str], note: str | None = None) -> Act:
        """What is to be signed."""
        nonce = secrets.token_hex(16)
        bound = {} if note is None else {"note_sha256": note_digest(nonce, note)}
        return Act(
            region=region.name, act=act, args={**args, **bound}, plan=plan, by=self.person, made_at=int(time.time()),
            nonce=nonce,
        )  # fmt: skip

    def sign(self, act: Act) -> Signature:
        """The person's signature over the exact content of `act`."""
        return self._key.sign(self.person, act)
