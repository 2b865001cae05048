"""Whether the model server answers one exchange with what it said in another."""

from __future__ import annotations

from firedoor.core.exchange.call import Call, Terms
from firedoor.core.replays import Asker


class Repeats:
    """The answer of one exchange beside those that this worker saw before; nothing where they are not remembered."""

    def __init__(self, call: Call, terms: Terms) -> None:
        self._call = call
        self._replays = terms.replays if call.route == "chat" else None
        self._model = terms.model_id
        self._asker: Asker | None = None
        self._judged = False

    def asked(self, body: bytes) -> None:
        """The model instance is called with `body`."""
        if self._replays is not None:
            call = self._call
            self._asker = self._replays.asker(call.scope.shop, call.scope.surface, call.subject, call.session, body)

    def is_replayed(self, answer_id: object) -> bool:
        """Whether an answer with this id went to somebody else: certain. Judged once, by the first frame with an id."""
        if self._replays is None or self._asker is None or self._judged or not answer_id:
            return False
        self._judged = True
        return self._replays.seen_id(self._model, answer_id, self._asker)

    def same_text(self, answer_id: object, texts: dict[str, str]) -> bool:
        """Whether somebody else was told the same, at length, when they asked something else: a suspicion."""
        if self._replays is None or self._asker is None:
            return False
        return self._replays.seen_text(self._model, answer_id, "\n".join(texts.values()), self._asker)
