"""What the bench's shoppers write: texts that are new every time, so that no cache of seen texts helps. Pure."""

from __future__ import annotations

import json
import random
from typing import Literal

ShapeName = Literal["short", "kilobyte", "history"]

TURNS = 10

POOL = 1009
"""Different texts made before the run; prime, so that no concurrency meets the same few."""

SYSTEM = (
    "You are the friendly assistant of an online shop for outdoor equipment. Answer in two or three sentences, in the "
    "language of the customer. Help with sizes, materials, care, delivery times and returns. Do not promise discounts, "
    "do not give medical or legal advice, and never mention other customers. If you do not know something, say so and "
    "name the contact form. Prices include tax. Standard delivery takes two to four days, express delivery one day. "
    "Returns are free of charge within thirty days when the article is unused and still has its label."
)

# One of each list makes a message: 8^5 texts, each then with numbers of its own.
_PARTS = (
    (
        "Hello, last week I bought the blue trail jacket in size M",
        "Good morning, my sister ordered the two-person tent for us",
        "Hi there, I have had the leather hiking boots since spring",
        "Dear team, the warm sleeping bag came with the post today",
        "Hello again, it is about the rucksack with the steel frame",
        "Good evening, we use your gas stove on most of our trips",
        "Hi, the children got the small head lamps for a birthday",
        "Dear shop, I picked up the folding chair at your counter",
    ),
    (
        " and the zip of the left side does not close any more.",
        " but one of the seams has opened after only two washes.",
        " and a small part that is shown in the manual is missing.",
        " although the colour looks rather different in daylight.",
        " and now it makes a strange noise whenever it is moved.",
        " but it is a bit too tight when I wear a thick pullover.",
        " and the label says something else than your web page.",
        " although the carton was open and wet when it arrived.",
    ),
    (
        " Is there a repair kit for it that one can use at home?",
        " Could I swap it for the larger one without new postage?",
        " Does the older model share the same spare parts with it?",
        " Do you think that this gets better after some time?",
        " How should it be cleaned so that it stays waterproof?",
        " Would you rather have it back, or is a photo enough?",
        " Can your workshop look at it while we wait for it?",
        " Is it normal, or did we simply have bad luck this time?",
    ),
    (
        " We leave for the mountains on Friday, so it is urgent.",
        " There is no hurry, the season starts in two months.",
        " My neighbour has the same one and is happy with it.",
        " Otherwise we like it very much and use it every week.",
        " The weather here has been worse than we had expected.",
        " I could come by in the afternoon if that is easier.",
        " The last time you were quick, which was very kind.",
        " Please tell me also what the express delivery costs.",
    ),
    (
        " Thanks a lot in advance and greetings from the lake.",
        " I am looking forward to your answer, have a nice day.",
        " With kind regards from a customer of many years.",
        " Many thanks for the help, and keep up the good work.",
        " All the best, and thank you for reading all of this.",
        " Thank you, and a quiet weekend to all of you there.",
        " Greetings from the north, where it is raining again.",
        " Best wishes, and thanks for the patience with us.",
    ),
)

_ANSWER = ("Thank you for your message, we are sorry for the trouble and will gladly help you with the article. " * 7)[
    :600
]


class Shape:
    """One kind of request. `request(n, session)` gives the bytes of the n-th one; texts never repeat."""

    def __init__(self, name: ShapeName, host: str, credential: str, *, stream: bool, model: str) -> None:
        self.name = name
        self.turns = TURNS if name == "history" else 1
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {credential}\r\n"
            "Content-Type: application/json\r\n"
        ).encode()
        options = {"model": model, "stream": True} if stream else {"model": model}
        system = json.dumps({"role": "system", "content": SYSTEM})
        self._open = (json.dumps(options)[:-1] + f', "messages": [{system}').encode()
        self._answer = b", " + json.dumps({"role": "assistant", "content": _ANSWER}).encode()
        self._size = 1000 if name == "kilobyte" else 300
        self._users = [self._user(random.Random(i)) for i in range(POOL)]  # noqa: S311 (no secret: the same texts each run)

    def request(self, number: int, turn: int) -> bytes:
        """The request that brings message `number`; from `turn` 1 on it repeats the `turn` messages before it."""
        told = [self._said(number - back) + self._answer for back in range(turn, 0, -1)]
        body = b"".join([self._open, *told, self._said(number), b"]}"])
        # The session is that of the conversation's first message, so that a gateway may know what it has seen before.
        session = b"Firedoor-Session: bench-%09d\r\n" % (number - turn)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, session, len(body), body)

    def _said(self, number: int) -> bytes:
        return self._users[number % len(self._users)] % (number, number, number)

    def _user(self, chance: random.Random) -> bytes:
        """A user message of `_size` characters with three places for its number: nonce, address, order."""
        start = "[%09d]"
        ask = " Please write to lena.brandt%09d@example.org about order A-%09d."
        room = self._size - len(start % 0) - len(ask % (0, 0))
        words = ""
        while len(words) < room:
            words += " " * bool(words) + "".join(chance.choice(part) for part in _PARTS)
        message = json.dumps({"role": "user", "content": start + ask + words[:room]})
        return b", " + message.encode()


def address(number: int) -> bytes:
    """The e-mail address that message `number` gives, as the answer must contain it again."""
    return b"lena.brandt%09d@example.org" % number
