"""Who may look at a restricted case: a signed act of theirs says who asks, and each look is on record before it."""

from __future__ import annotations

from firedoor.control.switchboard import Switchboard
from firedoor.core.evidence.record import Fact
from firedoor.core.incident.case import Case
from firedoor.core.incident.rights import may_see
from firedoor.core.people import Signed, verify
from firedoor.core.switchstate import signed_facts
from firedoor.errors import ActRefused

REMEMBERED = 1024
"""Acts whose look is on record already. One act serves for all parts of one look; past these it is recorded again."""


class Looks:
    """Lets people of the plan see restricted cases. Used from one event loop.

    An act `see_incident` may be shown again until it expires: it changes nothing, and one look asks for several parts.
    """

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._recorded: dict[str, None] = {}

    async def hidden(self, case: Case, signed: Signed | None) -> bool:
        """Whether `case` is to be hidden from who asks: it is restricted, and they have shown no act.

        Raises `ActRefused` for an act that is not in order or of who may not see it, and `FiredoorError` if the look
        cannot be recorded: then there is none.
        """
        plan = self._board.loaded.plan
        if may_see(case, None, plan):
            return False
        if signed is None:
            return True
        act = signed.act
        self._verify(case, signed)
        if not may_see(case, act.by, plan):
            self._board.keeper.note("access", _facts(case, signed, "refused", "may_not_see"))
            raise ActRefused(
                "may_not_see",
                f"Case {case.id} is restricted, and {act.by} is not among those who may see it.",
                remedy="Ask its incident commander or the data-protection officer.",
            )
        if act.digest not in self._recorded:
            await self._board.keeper.record("access", _facts(case, signed, "done") | signed_facts(signed))
            self._recorded[act.digest] = None
            while len(self._recorded) > REMEMBERED:
                del self._recorded[next(iter(self._recorded))]
        return False

    def _verify(self, case: Case, signed: Signed) -> None:
        act, board = signed.act, self._board
        try:
            if act.act != "see_incident" or len(signed.signatures) != 1:
                raise ActRefused("bad_act", "To see a case takes an act see_incident with one signature.")
            verify(signed, board.loaded, region=board.region, now=board.keeper.now, spent=())
            if act.args["incident"] != case.id:
                raise ActRefused("other_case", "This act was signed for another case.", remedy="Sign one for it.")
        except ActRefused as error:
            board.keeper.note("access", _facts(case, signed, "refused", error.code))
            raise


def _facts(case: Case, signed: Signed, state: str, code: str | None = None) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"act": "see_incident", "state": state, "incident": case.id, "by": signed.act.by}
    return facts | ({"code": code} if code is not None else {})
