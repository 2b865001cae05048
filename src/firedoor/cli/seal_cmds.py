"""`firedoor keys seal` and `firedoor keys open`: model weights and datasets, encrypted for one region."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.app.sealed import SUFFIX, Unlocked, What, collect
from firedoor.app.sealed import seal as seal_files
from firedoor.cli.options import HomeOption, JsonOption, echo_json
from firedoor.cli.passphrase import PassphraseFileOption, passphrase
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused, SetupError
from firedoor.keys.manifest import MAKE_SIGNER, Signer, is_encrypted, load_signer
from firedoor.keys.ring import Ring
from firedoor.store import planfile

REASON_LIMIT = 1000
"""Characters of a reason: room for a sentence or two, not for a case file."""
STDOUT = "-"

AsOption = Annotated[
    str, typer.Option("--as", help="model:NAME or dataset:NAME, as the plan names it.", metavar="KIND:NAME")
]
InRegionOption = Annotated[
    str | None, typer.Option("--region", help="Region; the one that the plan says unless given.")
]


def seal(
    paths: Annotated[list[Path], typer.Argument(help="A file, a folder, or several of them.", metavar="PATH...")],
    as_: AsOption,
    region: InRegionOption = None,
    out: Annotated[Path | None, typer.Option("--out", help=f"What to write; PATH{SUFFIX} unless given.")] = None,
    sign_key: Annotated[
        Path | None, typer.Option("--sign-key", help=f"Who vouches for it: an EC P-256 key. Make one: {MAKE_SIGNER}")
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encrypt weights or a dataset for its region, and sign it. What is sealed stays as it is."""
    loaded, place, what = _find(Home.find(home), as_, region)
    files = collect(paths)
    if out is None and len(paths) > 1:
        raise SetupError("Several files are sealed into one folder.", remedy="Name it: --out FOLDER.")
    target = out or paths[0].with_name(paths[0].name + SUFFIX)
    signer = _signer(sign_key, passphrase_file)
    ring = open_region(place, loaded, Home.find(home).root)
    if ring.state.find(*what) is None:
        facts: dict[str, Fact] = {"act": "file_key", "by": _who(), "purpose": what.purpose, "name": what.name}
        _record(place, ring, Record(kind="key", exchange="", at=time.time_ns(), facts=facts))
    sizes = seal_files(files, target, what, ring, signer)
    if as_json:
        said = {"what": str(what), "region": place.name, "files": len(files), "signed": signer is not None}
        echo_json({"sealed": str(target), **said, "clear_bytes": sizes.clear, "sealed_bytes": sizes.sealed})
        return
    typer.echo(f"{target}: {what} of region {place.name}, {len(files)} file(s), {sizes.clear:,} bytes.")
    typer.echo("The clear files are still there: delete them, and their copies, once the sealed ones are in use.")


def open_(
    path: Annotated[Path, typer.Argument(help="What `firedoor keys seal` made.")],
    as_: AsOption,
    to: Annotated[str, typer.Option("--to", help="New file or folder for the CLEAR content; - for standard output.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is opened; recorded before it is.")],
    region: InRegionOption = None,
    home: HomeOption = None,
) -> None:
    """Decrypt weights or a dataset. Recorded first; the clear content is then where you put it.

    With `--to -` use what comes only if the exit status is 0: until the end it may not be all.
    """
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise ActRefused("no_reason", f"Say why, in at most {REASON_LIMIT} characters.", remedy="Add --reason TEXT.")
    loaded, place, what = _find(Home.find(home), as_, region)
    ring = open_region(place, loaded, Home.find(home).root)
    unlocked = Unlocked(path, what, ring)
    if to == STDOUT:
        if unlocked.files.keys() != {""}:
            raise SetupError(f"{path} is a folder.", remedy="Name a folder to open it to: --to FOLDER.")
        if sys.stdout.isatty():
            raise SetupError("Standard output is a terminal.", remedy="Name a file with --to, or use a pipe.")
    elif Path(to).exists():
        raise SetupError(f"{to} is there already.", remedy="Choose another name, or move it away.")
    _record(place, ring, _opening(what, reason, to_disk=to != STDOUT))
    if to == STDOUT:
        sys.stdout.flush()
        try:
            unlocked.open_into(sys.stdout.fileno())
        except OSError as error:
            raise SetupError(f"Standard output takes no more: {error.strerror}.") from None
        return
    sizes = unlocked.open_to(Path(to))
    typer.echo(f"{to}: {what} of region {place.name}, {sizes.clear:,} bytes IN CLEAR on this disk.")
    if not unlocked.signed:
        typer.echo("Nobody signed it: it is what this region sealed, and that is all that is known.")


def _record(place: RegionHome, ring: Ring, record: Record) -> None:
    """Leave `record` in the slot of people at the terminal; durable on return."""
    as_operator(place, epochs(place, ring.worker()), lambda write: write(record))


def _opening(what: What, reason: str, *, to_disk: bool) -> Record:
    """That a person opens something sealed, and why. The reason is their own words: sealed like any other content."""
    facts: dict[str, Fact] = {"by": _who(), "opened": what.purpose, "name": what.name, "to_disk": to_disk}
    return Record(kind="access", exchange="", at=time.time_ns(), facts=facts, body=reason.encode())


def _who() -> str:
    return f"uid:{os.getuid()}"


def _find(home: Home, as_: str, region: str | None) -> tuple[Loaded, RegionHome, What]:
    """The plan, and what it names. Raises `SetupError`, `typer.BadParameter`."""
    kind, colon, name = as_.partition(":")
    if not colon or kind not in {"model", "dataset"}:
        raise typer.BadParameter(f"{as_!r}: write model:NAME or dataset:NAME.")
    purpose: Literal["model", "dataset"] = "model" if kind == "model" else "dataset"
    loaded = planfile.load(home.plan)
    plan = loaded.plan
    named = {n: e.region for n, e in (plan.models if purpose == "model" else plan.datasets).items()}
    if name not in named:
        known = ", ".join(sorted(named)) or "none"
        raise SetupError(f"The plan has no {purpose} {name}.", remedy=f"It has: {known}. Add it to the plan first.")
    if region is not None and region != named[name]:
        raise SetupError(
            f"{purpose} {name} is in region {named[name]}, not {region}.",
            remedy="Content stays in its region: name another one, or change the plan.",
        )
    return loaded, home.region(named[name]), What(purpose, name)


def _signer(path: Path | None, passphrase_file: Path | None) -> Signer | None:
    if path is None:
        return None
    return load_signer(path, passphrase(passphrase_file, whose=path.name) if is_encrypted(path) else None)
