"""`firedoor evidence repair`: the journal of a slot and its published log hold the same leaves; one mends the other."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer

from firedoor.agent.logsigner import LogSigner
from firedoor.app.identity import read_identity
from firedoor.app.newlog import SET_ASIDE, agent_stopped, begin_new_log
from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.note import log_signers
from firedoor.core.evidence.record import Fact, Record
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store import planfile, tilelog
from firedoor.store.journal_read import read
from firedoor.store.journal_repair import repair_journal
from firedoor.store.journal_verify import verify
from firedoor.store.tilelog_check import Damage

CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


def repair(
    slot: Annotated[str, typer.Argument(help="The journal slot: worker-0, control, checkpoints …")],
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mend a damaged journal from its published log, or the log from the journal. Stop the slot's process first.

    What is replaced is set aside, never deleted: it may be evidence itself. Exit status 1 if both are damaged.
    """
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    if not where.journal(slot).is_dir():
        raise SetupError(f"Region {where.name} has no slot {slot}.", remedy="See `firedoor evidence status`.")
    seeds = open_region(where, loaded, found.plan.parent).log_seeds()
    signer = LogSigner(log_signers(read_identity(where).origin(slot), seeds), time.time_ns)
    done = _mend(where, slot, signer)
    if as_json:
        echo_json({"region": where.name, "slot": slot, **done})
    else:
        for what, said in done.items():
            typer.echo(f"{what}: {said}")


def _mend(where: RegionHome, slot: str, signer: LogSigner) -> dict[str, str]:
    journal, folder = where.journal(slot), where.logs / slot
    journal_damage = verify(journal).damage
    log_damage = tilelog.check(folder, signer) if folder.is_dir() else []
    done = {"journal": "whole", "log": "whole" if folder.is_dir() else "not published yet"}
    if journal_damage and (log_damage or not folder.is_dir()):
        raise EvidenceDamaged(
            f"Both copies of slot {slot} are damaged: {journal_damage[0].problem} Log: {_first(log_damage)}",
            remedy="Restore one of them from a backup, then repair the other from it.",
        )
    if journal_damage:
        log = tilelog.open_log(folder, signer)
        try:
            size = log.checkpoint.size
            result = repair_journal(journal, where.name, log.reader().entries(0, size), size, where.root / SET_ASIDE)
        finally:
            log.close()
        more = ", and more that cannot be read" if result.lost else ""
        done["journal"] = (
            f"written anew: {result.signed} signed records and {result.unsigned} newer ones{more}; "
            f"the damaged one lies in {result.aside}"
        )
    if log_damage:
        aside = tilelog.repair(folder, signer, (stored.data for stored in read(journal)))
        done["log"] = f"rebuilt from the journal ({_first(log_damage)}); the damaged one lies in {aside}"
    return done


def _first(damage: list[Damage]) -> str:
    return f"{damage[0].file}: {damage[0].problem}" if damage else "it was not published."


def new_log(
    reason: Annotated[str, typer.Option(help="Why, as a code: restored, key_exposed …")],
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """After a restored backup: set the published logs aside and publish the journals under a new name.

    A log that was restored is older than what witnesses have cosigned; signing on under its name would be a fork. Stop
    `firedoor up` first. The hand-over is recorded.
    """
    if not CODE.fullmatch(reason):
        raise SetupError("A reason is a code of lower-case letters, digits and _.", remedy="For example: restored.")
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    ring = open_region(where, loaded, found.plan.parent)
    with agent_stopped(where):
        done = begin_new_log(where, loaded.plan, ring)
    facts: dict[str, Fact] = {"act": "new_log", "old": done.old, "size": done.size, "new": done.new, "reason": reason}
    record = Record(kind="key", exchange="", at=time.time_ns(), facts=facts)
    as_operator(where, epochs(where, ring.worker()), lambda write: write(record))
    if as_json:
        echo_json({"region": where.name, **done._asdict()})
    else:
        typer.echo(f"{done.old} ends here with {done.size} checkpoints; the journals will be published as {done.new}.")
        typer.echo(
            "Tell the witnesses and write the new keys into the plans of other machines: firedoor evidence keys."
        )
