"""How the control process of a region takes up its switches: the first start, a restart, and a loss."""

from __future__ import annotations

from firedoor.core.switchstate import Stored, first, rebuilt, resumed
from firedoor.errors import SetupError
from firedoor.ports.switches import ControlStore, PageOutput, ShutFiles


def take_up(
    region: str,
    plan: str,
    *,
    store: ControlStore,
    page: PageOutput,
    files: ShutFiles,
    now: float,
    copied: bool = False,
) -> Stored:
    """The state to begin with; `plan` is the digest of the plan, `now` Unix seconds.

    `copied` says that this host's switch agent has a copy of an earlier table.

    1. Nothing stored, no page and no copy: a first start, everything open.
    2. Stored and sound: that, joined with the region's own part of a page that is newer.
    3. Damaged, or gone while page or copy show that there was one: refused, and without a beat AI stays off. If the
       operator has put the SHUT file there: a new table with the whole region shut.

    Raises `SetupError`; and `StateUnavailable` and OSError while nobody can say what is stored: then it is asked again.
    """
    shown = page.last()
    seen = shown.table if shown is not None and shown.table.region == region else None
    try:
        stored = store.load()
        if stored is None and (page.exists() or copied):
            raise SetupError("The switch table is gone, but this host's page or copy shows that there was one.")
        if stored is not None and stored.table.region != region:
            raise SetupError(f"The switch table is that of region {stored.table.region}, not {region}.")
    except SetupError as error:
        if not files.shut():
            raise SetupError(
                f"{error.message} Firedoor does not start over it: a shut switch could be lost.",
                remedy="Restore it from a copy; or create the file SHUT in the region's folder and start "
                "again: everything is then shut, and two people open what the evidence says may be open.",
            ) from error
        store.set_aside()
        return rebuilt(region, plan, seen, now)
    if stored is None:
        return first(region, plan)
    return resumed(stored, seen, plan)
