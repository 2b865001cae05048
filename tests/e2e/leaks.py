"""A house with protected content of every kind, all of it invented; a model that says what it is told to say, and how
much of what is protected can be read in what came out."""

import asyncio
import json
import shutil
import socket
import sqlite3
import threading
import time
import unicodedata
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import openai

from firedoor.store.credentials import CredentialFile
from firedoor.store.journal_read import read
from firedoor.store.segments import slots
from firedoor.upstream.script import Answer, Pace, Script
from firedoor.upstream.scripted import serve_scripted

from . import plans
from .house import House

FALLBACK = "Our team will answer you by mail."
CUT = "This answer was stopped."
MASK = "[…]"

VALUE = "Kontorschluessel QX-7731-Birke"
ROWS = (
    "sku,name,cost,supplier\n"
    "AL-7104,Gletscher Parka,41.85,Nordwind Kontor\n"
    "AL-7105,Kiesel Trail Shoe,28.40,Elbtal Leder\n"
    "AL-7106,Tannen Wool Socks,3.17,Faden und Garn\n"
)
AMOUNT = "41.85"
PRODUCT = "Gletscher Parka (AL-7104): purchase price "
ORDERS = (
    "order_id,customer_id,email,street,phone\n"
    "ORD-550187,C-9001,mirela@example.org,Ahornweg 27b Lindau,+4915123450187\n"
    "ORD-550188,C-9002,tomasz@example.org,Kastanienallee 3 Passau,+4915123450188\n"
)
STREET = "Ahornweg 27b Lindau"
DOCUMENTS = {
    "agreement.md": (
        "# Framework agreement with Nordwind Kontor\n\n"
        "Alpenladen grants Nordwind Kontor a minimum of eighty pallets each quarter and defers every second invoice until "
        "the autumn stocktaking is signed. Tooling for the glacier line stays the property of the mill, which waives the "
        "surcharge for quilted linings as long as the tannery in Bregenz keeps its quota. Rebates above nineteen percent "
        "are credited against freight and never shown on a delivery note. Should a rival retailer ask for the same waxed "
        "zips, purchasing must be told within two working days, and the laboratory withholds its report until counsel has "
        "answered. Unsold jerseys return to the warehouse in Kehl at half of the landed cost, patched or not.\n\n"
        "The embargo on coloured hangtags ends when both auditors have countersigned the ledger of last winter. Until "
        "then the importer stores them apart, seals each pallet twice and reports breakage by telephone only. Deposits "
        "paid in spring are forfeited if the dye lot differs by more than one shade from the sample that finance keeps.\n"
    ),
    "runbooks/returns.txt": (
        "When a shopper insists on a refund beyond the window, agents may offer forty euros of credit before they ask a "
        "supervisor, and never more than two such gestures in one season. Accounts flagged amber by the fraud desk get the "
        "slow carrier without being told. Staff purchases are booked under the harvest code, which changes on the first "
        "Monday of each month and is written on the inside of the lockers behind packing table seven.\n"
    ),
}


def folded(text):
    """Letters and digits alone, without case, width and accents: what a reader reads."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if character.isalnum())


def longest_run(text, document, least=8):
    """The most folded characters in a row that `text` has in common with `document`; 0 below `least`."""
    said, known = folded(text), folded(document)
    best = 0
    for at in range(len(said)):
        size = max(best + 1, least)
        while at + size <= len(said) and said[at : at + size] in known:
            best = size
            size += 1
    return best


def stretches(document, length=120, count=3):
    """Pieces of `document` of about `length` characters, from beginnings of words, spread over it."""
    text = " ".join(document.split())
    step = (len(text) - length - 20) // count
    starts = [text.index(" ", step * number + 10) + 1 for number in range(count)]
    return [text[at : at + length] for at in starts]


class Reply(NamedTuple):
    """What a caller got. `texts` by choice and field, in the order they came; `finishes` by choice."""

    texts: dict[tuple[int, str], str]
    finishes: dict[int, str | None]
    outcome: str
    reason: str | None
    exchange: str
    headers: Any

    @property
    def text(self):
        """The content of the first choice."""
        return self.texts.get((0, "content"), "")

    def all(self):
        """All texts together."""
        return "\n".join(self.texts.values())


class Player:
    """The scripted model in a thread of this process. `say` sets what it says from now on."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self):
        self._over = asyncio.Event()
        async with serve_scripted(Script(model="small")) as served:
            self.url, self._instance = served.base_url, served.instance
            self._ready.set()
            await self._over.wait()

    def say(self, text="", *, pace=4, delay=0.0, **answer):
        """From now on this is the answer, in events of `pace` characters."""
        self.play(
            Script(model="small", default=Answer(text=text, pace=Pace(characters=pace, delay_ms=delay), **answer))
        )

    def play(self, script):
        self._instance.script = script

    @property
    def calls(self):
        """How often it was asked."""
        return len(self._instance.received)

    def busy(self):
        """Whether an answer is on its way."""
        return any(one.end == "running" and one.events for one in self._instance.received)

    def close(self):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


class Raw:
    """A model server that answers every request with exactly the bytes of `pieces`, a write each, then hangs up."""

    def __init__(self):
        self.pieces = []
        self.kind = "text/event-stream"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def play(self, *pieces, kind="text/event-stream"):
        self.pieces, self.kind = pieces, kind

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._answer(connection)

    def _answer(self, connection):
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += connection.recv(65536) or b"\r\n\r\n"
        head, _, body = raw.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower()[:15] == b"content-length:"), 0)
        while len(body) < length:
            body += connection.recv(65536)
        connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: {self.kind}\r\nconnection: close\r\n\r\n".encode())
        for piece in self.pieces:
            connection.sendall(piece)
            time.sleep(0.001)  # so that it travels by itself


def event(*choices, **fields):
    """An event of a stream in the OpenAI form; `choices` are (index, delta) or (index, delta, finish_reason)."""
    told = [{"index": at, "delta": delta, "finish_reason": (*more, None)[0]} for at, delta, *more in choices]
    document = {"id": "chatcmpl-raw", "object": "chat.completion.chunk", "created": 1, "model": "small", **fields}
    return b"data: " + json.dumps({**document, "choices": told}, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


class GuardedHouse(House):
    """One region with the surfaces of `plans.ANSWERS`, and model servers at `urls`."""

    def __init__(self, folder: Path, urls, **options):
        super().__init__(folder)
        del self.ports["us"]
        self.document = plans.guarded(self.document, urls, **options)
        self.plan.write_text(json.dumps(self.document, indent=1))
        self.honeytokens = []
        self._clients = {}
        # Beside the home: the files of the region must not hold what is in these, and people keep them elsewhere too.
        self.sources = folder.parent / f"{folder.name}-sources"
        for name, text in DOCUMENTS.items():
            path = self.sources / "documents" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.sources / "costs.csv").write_text(ROWS)
        (self.sources / "orders.csv").write_text(ORDERS)

    def protect(self, *sets):
        """Protect what is in `sets`, or all of it, by the commands, while the region runs."""
        sets = sets or (*plans.SETS,)
        if "codes" in sets:
            self.run("protect", "add", "--set", "codes", "-", input=VALUE)
        if "contracts" in sets:
            made = self.run("protect", "honeytoken", "--set", "contracts", "--count", "2", "--json").stdout
            self.honeytokens = [token["token"] for token in json.loads(made)]
            self.run("protect", "add", "--set", "contracts", "--document", self.sources / "documents")
        if "costs" in sets:
            self.run("protect", "add", "--set", "costs", "--csv", self.sources / "costs.csv",
                     "--column", "cost,supplier", "--bind", "sku,name")  # fmt: skip
        if "orders" in sets:
            self.run("protect", "add", "--set", "orders", "--csv", self.sources / "orders.csv",
                     "--column", "street,phone", "--bind", "order_id", "--owner", "customer_id,email")  # fmt: skip

    def secrets(self):
        """Everything that must not lie in clear in a file: values, honeytokens, what belongs to rows, documents."""
        rows = [line.split(",") for table in (ROWS, ORDERS) for line in table.splitlines()[1:]]
        bound = [cell for row in rows for cell in row[2:] if len(cell) > 5]
        pieces = [piece for text in DOCUMENTS.values() for piece in stretches(text, 40, 4)]
        return [VALUE, *self.honeytokens, *bound, *pieces]

    def token(self, region, surface, shop="alpenladen", role=None):
        """As the command makes them, without a process for each."""
        key = (region, surface, shop, role)
        if key not in self.tokens:
            file = CredentialFile(self.home.region(region).credentials, region)
            self.tokens[key] = file.issue(shop, surface, time.time(), role=role)[0]
        return self.tokens[key]

    def client(self, token):
        if token not in self._clients:
            self._clients[token] = openai.OpenAI(
                base_url=self.url("eu") + "/v1", api_key=token, max_retries=0, timeout=30
            )
        return self._clients[token]

    def ask(self, text, surface="cut", *, stream=False, messages=None, role=None, **options):
        """What comes of a message, or of `messages`, asked with a credential of `role`: a `Reply`."""
        client = self.client(self.token("eu", surface, role=role))
        raw = client.chat.completions.with_raw_response.create(
            model="small", messages=messages or [{"role": "user", "content": text}], stream=stream, **options
        )
        if stream:
            return _streamed(raw)
        body = json.loads(raw.http_response.content)
        texts = {}
        for choice in body["choices"]:
            _collect(texts, choice["index"], choice["message"])
        finishes = {choice["index"]: choice["finish_reason"] for choice in body["choices"]}
        head = raw.headers
        return Reply(
            texts, finishes, head["firedoor-outcome"], head.get("firedoor-reason"), head["firedoor-exchange"], head
        )

    def leaves(self, kind, exchange=None):
        """Leaves of the region's evidence, oldest first; of an exchange, when its outcome is there."""
        place = self.home.region("eu")

        def found():
            leaves = [
                stored.leaf
                for slot in slots(place.journals)
                for stored in read(place.journal(slot))
                if exchange is None or stored.leaf.exchange == exchange
            ]
            over = exchange is None or any(leaf.kind == "outcome" for leaf in leaves)
            return [[leaf for leaf in leaves if leaf.kind == kind]] if over else None

        return self.wait(found, what=f"the outcome of {exchange}")[0]

    def kept(self, exchange):
        """Whether what the exchange was answered is in the answer cache."""
        with closing(sqlite3.connect(self.home.region("eu").cache)) as file:
            return file.execute("SELECT 1 FROM entries WHERE exchange = ?", (exchange,)).fetchone() is not None

    def findings(self, exchange):
        """The facts of the findings of an exchange."""
        return [leaf.facts for leaf in self.leaves("finding", exchange)]

    def reopen(self, scope):
        """Two people open what was shut."""
        asked = self.run("open", scope, "--note", "test", "--as", "ana", "--key", self.keys["ana"], "--json").stdout
        self.run("approve", json.loads(asked)["id"], "--as", "ben", "--key", self.keys["ben"], "--yes")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.sources, ignore_errors=True)


def _streamed(raw):
    texts, finishes, last = {}, {}, None
    for chunk in raw.parse():
        last = chunk
        for choice in chunk.choices:
            _collect(texts, choice.index, choice.delta.model_dump(exclude_unset=True))
            if choice.finish_reason:
                finishes[choice.index] = choice.finish_reason
    end = last.model_extra["firedoor"]
    return Reply(texts, finishes, end["outcome"], end["reason"], end["exchange"], raw.headers)


def _collect(texts, index, said):
    """Add the strings of a delta or message to `texts`."""
    for name in ("content", "reasoning_content", "refusal"):
        if said.get(name):
            texts[index, name] = texts.get((index, name), "") + said[name]
    for place, call in enumerate(said.get("tool_calls") or ()):
        key = index, f"arguments {call.get('index', place)}"
        texts[key] = texts.get(key, "") + (call["function"].get("arguments") or "")
