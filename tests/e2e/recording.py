"""A model server of a test's own that keeps what it received, and a house with a surface for every kind of rule."""

import asyncio
import json
import shutil
import threading
import time
from contextlib import suppress

import openai

from firedoor.app.regionkeys import open_region
from firedoor.store.credentials import CredentialFile
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener
from firedoor.store.planfile import load
from firedoor.store.segments import slots
from firedoor.upstream.script import Answer, Pace, Script
from firedoor.upstream.scripted import serve_scripted

from . import plans
from .house import House

ECHO = "You said: {user}"
FALLBACK = "Our team will answer you by mail."
OTHER_BRAND = "Marta Falkner"
"""What the second shop sells: a name like a person's."""


class Recorder:
    """The scripted model in a thread of this process; `said` is what it answers, in events of `pace` characters."""

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
            self.answer(ECHO)
            self._ready.set()
            await self._over.wait()

    def answer(self, text, *, pace=7):
        """From now on `text` is the answer; its literal braces are those of a script."""
        self._instance.script = Script(model="small", default=Answer(text=text, pace=Pace(characters=pace)))

    def forget(self):
        self._instance.received.clear()
        self.answer(ECHO)

    @property
    def bodies(self):
        """All request bodies since `forget`, decoded."""
        return [one.body for one in self._instance.received]

    def heard(self):
        """All that was received, heads and bodies, as one text without JSON's escapes for letters."""
        return "\n".join(
            json.dumps([one.path, one.headers, one.body], ensure_ascii=False) for one in self._instance.received
        )

    def last(self):
        """The texts of the messages of the last request."""
        return [message["content"] for message in self.bodies[-1]["messages"]]

    def close(self):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


RULES = {
    "support": {},
    "account_chat": {"answers": "cut"},
    "mixed": {
        "labels": {
            "PERSON": "drop",
            **dict.fromkeys(("EMAIL", "PHONE", "POSTCODE", "DATE_OF_BIRTH", "IP", "CITY"), "generalise"),
            "ORDER_ID": "pass",
            **dict.fromkeys(("CREDIT_CARD", "IBAN"), "refuse"),
        }
    },
    "shadow": {"mode": "shadow", "labels": {"ORDER_ID": "pass"}},
    "all_pass": {"default": "pass", "answers": "pass"},
    "pictures": {"media": "pass", "not_personal": ["Greta Nordwand"]},
    "fraud_scoring": {
        "fields": [
            {"path": "$.customer.email", "handling": "generalise", "label": "EMAIL"},
            {"path": "$.customer.username", "handling": "mask", "label": "USERNAME"},
            {"path": "$.customer.loyalty", "handling": "drop"},
            {"path": "$.amount", "handling": "generalise"},
            {"path": "$.order", "handling": "pass", "label": "ORDER_ID"},
        ]
    },
}
"""What becomes of personal data, by surface."""


class PrivateHouse(House):
    """One region, two shops, the surfaces of `RULES`, and one model server, which is `model`."""

    def __init__(self, folder, model):
        super().__init__(folder)
        self.model = model
        del self.ports["us"]
        document = self.document
        del document["regions"]["us"]
        document["models"] = {
            "eu-chat": {
                "region": "eu",
                "engine": "openai",
                "name": "small",
                "url": model.url,
                "serves": ["chat", "embeddings"],
            }
        }
        document["shops"]["alpenladen"]["sells_to"] = ["DE", "FR"]
        document["shops"]["bergladen"] = {"platform": "other", "home": "AT", "catalog": "other.jsonl"}
        served = {"eu": "eu-chat"}
        document["surfaces"] = {
            name: {
                "models": served,
                "embeddings": served,
                "deadline": "8s",  # other tests may want the processor, too
                "fallback": plans.RULES if name == "fraud_scoring" else plans.MESSAGE,
                "personal_data": rules,
                "prompts": plans.UNREAD,
            }
            for name, rules in RULES.items()
        }
        del document["protected"]
        self.plan.write_text(json.dumps(document, indent=1))
        product = {"sku": "B-1", "type": "simple", "name": f"{OTHER_BRAND} Rucksack 22", "price": 89, "currency": "EUR"}
        (folder / "other.jsonl").write_text(json.dumps(product) + "\n")

    def token(self, region, surface, shop="alpenladen"):
        """As the command makes them, without a process for each."""
        key = (region, surface, shop)
        if key not in self.tokens:
            file = CredentialFile(self.home.region(region).credentials, region)
            self.tokens[key] = file.issue(shop, surface, time.time())[0]
        return self.tokens[key]

    def client(self, surface, shop="alpenladen"):
        return openai.OpenAI(
            base_url=self.url("eu") + "/v1", api_key=self.token("eu", surface, shop), max_retries=0, timeout=30
        )

    def ask(self, text, surface="support", *, shop="alpenladen", messages=None, **options):
        """The raw response to a message, or to `messages`; the recorder forgets what was before."""
        messages = messages or [{"role": "user", "content": text}]
        return self.client(surface, shop).chat.completions.with_raw_response.create(
            model="small", messages=messages, **options
        )

    def said(self, text, surface="support", **options):
        """The text of the whole answer."""
        return self.ask(text, surface, **options).parse().choices[0].message.content

    def streamed(self, text, surface="support", **options):
        """The text of a streamed answer, and its chunks."""
        chunks = list(self.ask(text, surface, stream=True, **options).parse())
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks

    def records(self, exchange):
        """The leaves of an exchange, by kind; waits for its outcome."""
        place = self.home.region("eu")

        def found():
            leaves = [
                stored.leaf
                for slot in slots(place.journals)
                for stored in read(place.journal(slot))
                if stored.leaf.exchange == exchange
            ]
            kinds = {leaf.kind: leaf for leaf in leaves}
            return kinds if "outcome" in kinds else None

        return self.wait(found, what=f"the outcome of {exchange}")

    def facts(self, exchange):
        return {kind: leaf.facts for kind, leaf in self.records(exchange).items()}

    def body(self, leaf):
        """What lies sealed for a record, opened with the region's keys."""
        place = self.home.region("eu")
        opener = BodyOpener(place.bodies, place.subjects, open_region(place, load(self.plan), self.folder))
        try:
            return opener.open(leaf).decode()
        finally:
            opener.close()

    def files_with(self, *values):
        """The files of the installation that hold one of `values`, in clear or as JSON escapes it."""
        wanted = [(value, {value.encode(), json.dumps(value)[1:-1].encode()}) for value in values]
        found = set()
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # a file of a moment
                data = path.read_bytes() if path.is_file() else b""
                found |= {
                    (path.relative_to(self.folder).as_posix(), value)
                    for value, forms in wanted
                    if any(form in data for form in forms)
                }
        return found

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
