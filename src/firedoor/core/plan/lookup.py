"""Look-ups in a plan that several rooms need on the hot path, computed once."""

from __future__ import annotations

from firedoor.core.plan.jurisdictions import GROUPS, country, covered, expand
from firedoor.core.plan.model import Plan


class JurisdictionTable:
    """Which region serves a jurisdiction.

    The most precise entry of the plan wins: the subdivision itself, then its country, then a group it belongs to.
    `table` maps every code that the plan lists or reaches through a group to its region.
    """

    __slots__ = ("table",)

    def __init__(self, plan: Plan) -> None:
        listed = {code: name for name, region in plan.regions.items() for code in region.jurisdictions}
        table: dict[str, str] = {}
        for group in reversed(
            GROUPS
        ):  # the larger group first, so that the smaller, more precise one has the last word
            if group in listed:
                table.update(dict.fromkeys(covered(group), listed[group]))
        table.update(listed)
        for group in GROUPS:  # a group nobody lists is served when one region serves all its members
            serving = [table[member] for member in expand(group) if member in table]
            if group not in table and len(serving) == len(expand(group)) and len(set(serving)) == 1:
                table[group] = serving[0]
        self.table = table

    def region_of(self, jurisdiction: str) -> str | None:
        """The region that serves `jurisdiction` (ISO 3166-1 or -2, EU, EEA), or None when no region does."""
        found = self.table.get(jurisdiction)
        return found if found is not None else self.table.get(country(jurisdiction))


def region_of(plan: Plan, jurisdiction: str) -> str | None:
    """One look-up without keeping the table: see `JurisdictionTable.region_of`."""
    return JurisdictionTable(plan).region_of(jurisdiction)
