"""What control knows, in the shapes of the control API. Callers of the API need the shapes, and nothing of control."""

from __future__ import annotations

from firedoor.api.shapes import Health, Host, Hosts, ShutSwitch, Switches
from firedoor.control.hosts import Hosts as HostsHeard
from firedoor.control.switchboard import Switchboard
from firedoor.core.people import key_id
from firedoor.core.plan.model import Plan
from firedoor.core.switches import GlobalTable, Switch, global_part
from firedoor.core.switchstate import AUTOMATIC


def switches(board: Switchboard, everywhere: GlobalTable | None) -> Switches:
    """The table as the API shows it; `everywhere` is the newest global one that is known here."""
    table, plan = board.table, board.loaded.plan
    if plan.switches.home == table.region:
        everywhere = global_part(table)
    people = _people(plan)
    return Switches(
        table.region, table.version, table.plan, _shut(table.shut, people), board.shut_file, table.absorbed,
        table.cache_epoch, _shut(table.drills, people), plan.switches.home,
        _shut(everywhere.shut if everywhere is not None else (), people),
        everywhere.version if everywhere is not None else -1,
    )  # fmt: skip


def hosts(board: Switchboard, heard: HostsHeard | None) -> Hosts:
    """The hosts as the API shows them."""
    known = heard.heard() if heard is not None else []
    return Hosts(
        board.region,
        tuple(
            Host(
                said.host, round(ago, 3), said.version, said.beat, said.global_version, said.age_ms, said.refused,
                said.workers, said.latched, len(said.kept),
            )
            for said, ago in known
        ),
    )  # fmt: skip


def _people(plan: Plan) -> dict[str, str]:
    """Ids of persons by the ids of their keys, the first of those that share one."""
    return {key_id(person): name for name, person in reversed(plan.people.items())}


def _shut(shut: tuple[Switch, ...], people: dict[str, str]) -> tuple[ShutSwitch, ...]:
    return tuple(
        ShutSwitch(
            str(s.scope), s.reason, s.since, tuple(people.get(key, key) for key in s.keys) or AUTOMATIC, s.exchange,
            s.version, s.incident, s.drill,
        )
        for s in shut
    )  # fmt: skip


def health(board: Switchboard) -> Health:
    """How the switchboard is."""
    keeper = board.keeper
    works = keeper.disk_works and keeper.evidence_works
    return Health(
        "ok" if works else "degraded", board.region, board.table.version, keeper.disk_works, keeper.evidence_works,
        keeper.store_failures, keeper.record_failures,
    )  # fmt: skip
