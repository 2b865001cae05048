"""`firedoor evidence repair`: the journal of a slot and its published log hold the same leaves; one mends the other."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from firedoor.agent.logsigner import LogSigner
from firedoor.app.identity import SET_ASIDE, WITNESS_STATE, read_identity
from firedoor.app.newlog import HandOver, agent_stopped, begin_new_log
from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.note import log_signers, witness_signers
from firedoor.core.evidence.record import Fact, Record
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store import planfile, tilelog
from firedoor.store.journal_read import read
from firedoor.store.journal_repair import repair_journal
from firedoor.store.journal_verify import Damage as Missing
from firedoor.store.journal_verify import verify
from firedoor.store.segments import segments
from firedoor.store.slotlog import HostLogs
from firedoor.store.tilelog_check import Damage
from firedoor.store.tilelog_read import LogReader
from firedoor.store.witness import forget_clock

_WHOLE, _UNPUBLISHED = "whole", "not published yet"
_UNTOUCHED = (_WHOLE, _UNPUBLISHED)
CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


_GONE = Missing("", 1, "There is no journal.")


def repair(
    slot: Annotated[str, typer.Argument(help="The journal slot: worker-0, control, checkpoints …")],
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mend a damaged journal from its published log, or the log from the journal. Stop the slot's process first.

    What is replaced is set aside, never deleted: it may be evidence itself, and the repair is recorded. Exit status 1
    if both are damaged.
    """
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    if slot not in HostLogs(where.journals, where.logs).slots():
        raise SetupError(f"Region {where.name} has no slot {slot}.", remedy="See `firedoor evidence status`.")
    where.journal(slot).mkdir(mode=0o700, exist_ok=True)  # one that is gone comes back from its log
    ring = open_region(where, loaded, found.plan.parent)
    signer = LogSigner(log_signers(read_identity(where).origin(slot), ring.log_seeds()), time.time_ns)
    done = _mend(where, slot, signer)
    mended: list[str] = [what for what, said in done.items() if said not in _UNTOUCHED]
    if mended:
        record = Record(kind="repair", exchange="", at=time.time_ns(), facts={"slot": slot, "mended": mended})
        as_operator(where, epochs(where, ring.worker()), lambda write: write(record))
    if as_json:
        echo_json({"region": where.name, "slot": slot, **done})
    else:
        for what, said in done.items():
            typer.echo(f"{what}: {said}")


def _mend(where: RegionHome, slot: str, signer: LogSigner) -> dict[str, str]:
    journal, folder = where.journal(slot), where.logs / slot
    journal_damage = verify(journal).damage if segments(journal) else [_GONE]
    log_damage = tilelog.check(folder, signer) if folder.is_dir() else []
    done = {"journal": _WHOLE, "log": _WHOLE if folder.is_dir() else _UNPUBLISHED}
    if journal_damage and (log_damage or not folder.is_dir()):
        raise EvidenceDamaged(
            f"Both copies of slot {slot} are damaged: {journal_damage[0].problem} Log: {_first(log_damage)}",
            remedy="Restore one of them from a backup, then repair the other from it.",
        )
    if journal_damage or not log_damage:
        done["journal"] = _mend_journal(where, slot, signer, damaged=bool(journal_damage))
    if log_damage:
        aside = tilelog.repair(folder, signer, (stored.data for stored in read(journal)))
        done["log"] = f"rebuilt from the journal ({_first(log_damage)}); the damaged one lies in {aside}"
    return done


def _mend_journal(where: RegionHome, slot: str, signer: LogSigner, *, damaged: bool) -> str:
    """What became of a journal whose log is whole. Raises `EvidenceDamaged` if it is whole and says something else."""
    journal, folder = where.journal(slot), where.logs / slot
    if not folder.is_dir():
        return _WHOLE
    log = tilelog.open_log(folder, signer)
    try:
        size = log.checkpoint.size
        if not damaged and _follows(journal, slot, log.reader()):
            return _WHOLE
        result = repair_journal(journal, where.name, log.reader().entries(0, size), size, where.root / SET_ASIDE)
    finally:
        log.close()
    more = ", and more that cannot be read" if result.lost else ""
    return (
        f"written anew: {result.signed} signed records and {result.unsigned} newer ones{more}; "
        f"the damaged one lies in {result.aside}"
    )


def _follows(journal: Path, slot: str, signed: LogReader) -> bool:
    """Whether a journal begins with all that was signed, False if it ends before. Raises `EvidenceDamaged`."""
    leaves = read(journal)
    for seq, entry in enumerate(signed.entries(), 1):
        stored = next(leaves, None)
        if stored is None:
            return False
        if stored.data != entry:
            raise EvidenceDamaged(
                f"The journal of slot {slot} and its log are whole, and differ from record {seq} on: it was rewritten,"
                " or an older copy of it grew on.",
                remedy="Keep both. Put the journal back that was signed, or, if this one shall count, "
                "`firedoor evidence new-log`.",
            )
    return True


def _first(damage: list[Damage]) -> str:
    return f"{damage[0].file}: {damage[0].problem}" if damage else "it was not published."


def new_log(
    reason: Annotated[str, typer.Option(help="Why, as a code: restored, key_exposed …")],
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="New keys for log and witness too: others may have the old ones.")
    ] = False,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """After a restored backup: set the published logs aside and publish the journals under a new name.

    A log that was restored is older than what witnesses have cosigned; signing on under its name would be a fork. Stop
    `firedoor up` first. The hand-over is recorded before it is done. Once more after a crash goes on with it.
    """
    if not CODE.fullmatch(reason):
        raise SetupError("A reason is a code of lower-case letters, digits and _.", remedy="For example: restored.")
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    ring = open_region(where, loaded, found.plan.parent)

    def record(done: HandOver) -> None:
        facts: dict[str, Fact] = {"act": "new_log", "reason": reason, "new_keys": new_keys, **done._asdict()}
        made = Record(kind="key", exchange="", at=time.time_ns(), facts=facts)
        as_operator(where, epochs(where, ring.worker()), lambda write: write(made))

    with agent_stopped(where):
        done = begin_new_log(where, loaded.plan, ring, record, new_keys=new_keys)
    if as_json:
        echo_json({"region": where.name, **done._asdict()})
    else:
        if done.old:
            typer.echo(f"{done.old} ends here with {done.size} records.")
        typer.echo(f"The journals will be published as {done.new}.")
        typer.echo(
            "Tell the witnesses and write the new keys into the plans of other machines: firedoor evidence keys."
        )


def witness_clock(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """After a clock that ran ahead was set right: let the region's witness sign from now on.

    It signs nothing that is older than its last signature. What it cosigned stays. This is recorded.
    """
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    ring = open_region(where, loaded, found.plan.parent)
    now = time.time_ns()
    record = Record(kind="key", exchange="", at=now, facts={"act": "witness_clock"})
    as_operator(where, epochs(where, ring.worker()), lambda write: write(record))
    signers = witness_signers(read_identity(where).witness, ring.witness_seeds())
    forget_clock(where.witness / WITNESS_STATE, signers, now // 1_000_000_000)
    if as_json:
        echo_json({"region": where.name, "from": now // 1_000_000_000})
    else:
        typer.echo(f"The witness of {where.name} signs from now on.")
