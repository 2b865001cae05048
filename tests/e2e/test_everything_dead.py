"""AI may fail, the shop may not: everything killed, everything hung, gateways too; and it heals by itself.

To keep what is killed dead, `firedoor up` stands still meanwhile (SIGSTOP): it starts everything again when it goes on.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.request
from collections import Counter

import aiohttp
import openai
import pytest

from firedoor.client import AsyncShopClient
from firedoor.store.credentials import CredentialFile
from firedoor.store.journal_read import read
from firedoor.store.planfile import load
from firedoor.store.segments import slots
from tests.rooms.links import Link
from tests.rooms.nats_servers import Nats
from tests.rooms.postgres import running as postgres

from .house import House

RATE, SECONDS = 200, 3
"""Checkouts a second, and for how long: what a shop has at its peak."""
CHECKOUT = ("fraud_scoring", "payment_validation")
SHOP = "alpenladen"
REFUSES = "recommendations"
MAIL = "Our team will answer you by mail."
BUSY = 6.0
"""Seconds that a busy machine may take to run who is due, and still less than any wait for what is dead. How late
answers are is for `firedoor bench fallback` to count."""


class Shop(House):
    """One region with a bus and a database of their own, and the shop that uses it."""

    def __init__(self, folder, database):
        super().__init__(folder)
        del self.document["regions"]["us"], self.document["models"]["us-chat"]
        del self.document["models"]["eu-chat"]["breaker"]  # a shop's is what is not said
        region = self.document["regions"]["eu"]
        region |= {"jurisdictions": ["EU", "CH", "US"], "state": database}
        region["bus"] = {"kind": "nats", "servers": ["nats://127.0.0.1:4222"]}
        for surface in self.document["surfaces"].values():
            for models in ("models", "embeddings"):
                surface.get(models, {}).pop("us", None)
        self.document["surfaces"]["product_discovery"]["cache"] = {"scope": "surface"}
        self.write()
        self.nats = Nats(folder / "nats", load(self.plan))
        bus = self.nats.loaded.plan.regions["eu"].bus
        region["bus"] |= {"servers": list(bus.servers), "credentials_file": bus.credentials_file}
        self.write()
        self.nats.start()
        self.held = set()

    def write(self):
        self.plan.write_text(json.dumps(self.document, indent=1))

    def token(self, surface):
        if surface not in self.tokens:
            file = CredentialFile(self.home.region("eu").credentials, "eu")
            self.tokens[surface], _ = file.issue(SHOP, surface, time.time())
        return self.tokens[surface]

    # --- what befalls its processes -----------------------------------------------------------------------------------

    def named(self, *beginnings):
        return {name: pid for name, pid in self.pids("eu").items() if name.startswith(beginnings)}

    def kill(self, *beginnings):
        for pid in self.named(*beginnings).values():
            os.kill(pid, signal.SIGKILL)

    def hang(self, *beginnings):
        for pid in [self.process.pid] if not beginnings else self.named(*beginnings).values():
            os.kill(pid, signal.SIGSTOP)
            self.held.add(pid)

    def go_on(self):
        for pid in self.held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.held.clear()

    def remove(self):
        self.go_on()
        super().remove()
        self.nats.stop()

    # --- what its shoppers get ----------------------------------------------------------------------------------------

    def deadline(self, surface):
        return float(self.document["surfaces"][surface]["deadline"].removesuffix("s"))

    def ask(self, text, surface="support", *, stream=False):
        """Text, outcome, reason and switch of an answer, which comes within the surface's deadline."""
        client = openai.OpenAI(base_url=self.url("eu") + "/v1", api_key=self.token(surface), max_retries=0, timeout=30)
        began = time.monotonic()
        try:
            response = client.chat.completions.with_raw_response.create(
                model="small", messages=[{"role": "user", "content": text}], stream=stream
            )
            answer = response.parse()
            if stream:
                text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
            else:
                text = answer.choices[0].message.content
            headers = response.headers
        except openai.APIStatusError as error:
            text, headers = error.code, error.response.headers
        finally:
            client.close()
        assert time.monotonic() - began < self.deadline(surface) + BUSY
        return text, headers["firedoor-outcome"], headers.get("firedoor-reason"), headers["firedoor-switch"]

    def reason(self, text="Hello", surface="support", **options):
        return self.ask(text, surface, **options)[2]

    def ai(self):
        """Whether a model answers on every surface."""
        return all(self.ask("Hello", name)[1] in ("answered", "minimised") for name in self.document["surfaces"])

    def get(self, path):
        """What the gateway says there; nothing if none answers."""
        try:
            with urllib.request.urlopen(self.url("eu") + path, timeout=10) as response:
                return response.read().decode()
        except OSError:
            return ""

    def everybody_is_served(self):
        """Every surface gives its own fallback, whole and streamed."""
        for name, surface in self.document["surfaces"].items():
            for stream in (False, True):
                asked = json.dumps({"amount": 1500}) if name in CHECKOUT else "tent"
                text, outcome, reason, _ = self.ask(asked, name, stream=stream)
                assert (outcome, bool(reason)) == ("fallback", True), name
                kind = surface["fallback"]["kind"]
                if kind == "rules":
                    assert json.loads(text) == RULED
                else:
                    begins = {"message": MAIL, "search": "You may like:", "refuse": "surface_unavailable"}
                    assert text.startswith(begins[kind])

    def checkouts(self):
        """Outcomes of `RATE` checkouts a second that do not wait for each other; none is late."""
        outcomes, late = asyncio.run(_checkouts(self))
        assert late == 0
        assert sum(outcomes.values()) == RATE * SECONDS
        return outcomes


RULED = {"decision": "review", "score": 40.0, "reasons": ["high_amount"], "by": "rules"}


async def _checkouts(shop):
    outcomes, late = Counter(), 0
    loop = asyncio.get_running_loop()
    url = shop.url("eu") + "/v1/chat/completions"

    async def one(session, number, due):
        nonlocal late
        name = CHECKOUT[number % 2]
        messages = [{"role": "user", "content": json.dumps({"amount": 1001 + number})}]
        headers = {"authorization": f"Bearer {shop.token(name)}"}
        await asyncio.sleep(due - loop.time())
        async with session.post(url, json={"model": "small", "messages": messages}, headers=headers) as response:
            said = json.loads(await response.read())["choices"][0]["message"]["content"]
            late += loop.time() - due > shop.deadline(name) + BUSY
            outcomes[response.headers["firedoor-outcome"], response.headers.get("firedoor-reason")] += 1
            assert json.loads(said) == RULED

    for name in CHECKOUT:
        shop.token(name)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        start = loop.time() + 0.1
        await asyncio.gather(*(one(session, n, start + n / RATE) for n in range(RATE * SECONDS)))
    return outcomes, late


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with postgres() as server:
        shop = Shop(tmp_path_factory.mktemp("shop"), server.database())
        shop.database = server
        try:
            shop.start()
            shop.wait(shop.ai, seconds=30, what="AI")
            yield shop
        finally:
            shop.remove()


def breakers(shop):
    return json.loads(shop.get("/healthz"))["breakers"]


def facts(shop, exchange):
    place = shop.home.region("eu")
    stored = [one for slot in slots(place.journals) for one in read(place.journal(slot))]
    return {one.leaf.kind: one.leaf.facts for one in stored if one.leaf.exchange == exchange}


def test_a_breaker_opens_gives_fallbacks_at_once_and_closes_by_itself(shop):
    assert breakers(shop) == {}
    kept = shop.ask("Which boots are there?", "product_discovery")
    assert kept[1] == "answered"
    for _ in range(4):
        assert shop.ask("BROKEN please")[2] == "model_error"
    assert shop.ask("Hello")[1] == "answered"  # not in a row any more

    shop.hang()
    shop.kill("model:")
    for _ in range(5):
        assert shop.reason() in ("model_refused", "model_died", "breaker_open")
    for surface, stream in (("support", False), ("account_chat", True)):
        shop.wait(lambda s=surface, t=stream: shop.reason(surface=s, stream=t) == "breaker_open", what=surface)
    text, outcome, _, switch = shop.ask("Hello", "account_chat")
    assert (text, outcome, switch.partition(";")[0]) == (MAIL, "fallback", "open")
    assert breakers(shop).keys() == {"support/eu-chat", "account_chat/eu-chat"}
    metrics = shop.get("/metrics")
    assert 'firedoor_breaker_state{model="eu-chat",surface="support"} 0' not in metrics
    assert 'firedoor_breaker_trips_total{model="eu-chat",surface="support"} 0' not in metrics
    assert 'firedoor_breaker_trips_total{model="eu-chat",surface="fraud_scoring"} 0' in metrics  # each for itself
    said = shop.run("doctor", check=False).stdout
    assert "support/eu-chat is open" in said
    switches = json.loads(shop.run("switches", "--region", "eu", "--json").stdout)
    assert "breaker" not in json.dumps(switches)

    again = shop.ask("Which boots are there?", "product_discovery")  # from the cache, and recorded as ever
    assert again[:2] == kept[:2]
    embedded = openai.OpenAI(base_url=shop.url("eu") + "/v1", api_key=shop.token("support"), max_retries=0)

    def embeddings():
        with pytest.raises(openai.APIStatusError) as refused:
            embedded.embeddings.create(model="small", input="boots")
        assert (refused.value.status_code, refused.value.code) == (503, "surface_unavailable")
        return refused.value.response.headers

    shop.wait(lambda: embeddings()["firedoor-reason"] == "breaker_open", what="a breaker for embeddings")

    def recorded():
        headers = embeddings()
        found = shop.wait(
            lambda: (f := facts(shop, headers["firedoor-exchange"])).get("outcome") and f, what="a record"
        )
        return headers["firedoor-reason"] == "breaker_open" and found

    found = shop.wait(recorded, what="an exchange that was kept back")
    assert set(found) == {"outcome"}  # and no intent: nothing was asked
    assert found["outcome"]["reason"] == "breaker_open"

    shop.go_on()
    shop.wait(shop.ai, seconds=60, what="AI by itself")

    shop.wait(lambda: shop.ai() and breakers(shop) == {}, seconds=60, what="closed breakers")  # each when it is asked


def test_all_but_the_gateway_killed(shop):
    shop.hang()
    shop.kill("model:", "control", "agent", "switches")
    for server in shop.nats.servers.values():
        server.kill()
    shop.database.stop(signal.SIGQUIT)
    outcomes = shop.checkouts()  # while breaker and lease are still finding out
    assert {outcome for outcome, _ in outcomes} == {"fallback"}
    shop.wait(lambda: shop.reason() == "lease_over", what="a stale table")
    shop.everybody_is_served()

    shop.database.start()
    shop.nats.start()
    shop.go_on()
    shop.wait(shop.ai, seconds=60, what="AI by itself")


def test_all_but_the_gateway_hung(shop):
    shop.hang("model:")
    outcomes = shop.checkouts()  # nobody answers: silence to the deadline, then the breaker
    assert {outcome for outcome, _ in outcomes} == {"fallback"}
    shop.wait(lambda: "open" in breakers(shop).values(), what="an open breaker")
    with shop.database.hanging():
        shop.hang("control", "agent", "switches")
        for server in shop.nats.servers.values():
            server.hang()
        shop.wait(lambda: shop.reason() == "lease_over", what="a stale table")
        shop.everybody_is_served()
    for server in shop.nats.servers.values():
        server.go_on()
    shop.go_on()
    shop.wait(shop.ai, seconds=60, what="AI by itself")


# --- and the gateways too -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    shop.run("client-file", folder, "--shop", SHOP, "--region", "eu")
    return folder / "firedoor-client.json"


def in_the_shop(shop, path):
    """Each surface asked once through `firedoor.client`, all at once: where the answers come from. None is late."""

    async def one(client, *, stream):
        began = time.monotonic()
        answer = await client.chat([{"role": "user", "content": "tent"}], stream=stream)
        if stream:
            words = [chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices]
            assert "".join(words) or client.surface.surface == REFUSES
        assert time.monotonic() - began < client.surface.deadline + BUSY
        return answer.firedoor.source

    async def decided(client):
        began = time.monotonic()
        decision = await client.decide({"amount": 1500})
        assert time.monotonic() - began < client.surface.deadline + BUSY
        assert (decision.decision, decision.reasons) == ("review", ("high_amount",))

    async def all_of_them():
        async with contextlib.AsyncExitStack() as stack:  # made before any clock runs: that takes a processor
            clients = {
                name: await stack.enter_async_context(
                    AsyncShopClient.from_file(path, name, credential=shop.token(name))
                )
                for name in shop.document["surfaces"]
            }
            asked = [one(client, stream=stream) for client in clients.values() for stream in (False, True)]
            *_, sources = await asyncio.gather(*(decided(clients[name]) for name in CHECKOUT), asyncio.gather(*asked))
            return set(sources)

    return asyncio.run(all_of_them())


def test_every_gateway_killed_and_hung(shop, served):
    shop.wait(lambda: in_the_shop(shop, served) == {"gateway"}, what="the gateway for the shop")
    shop.hang()
    shop.kill("worker", "model:", "control", "agent", "switches")
    assert in_the_shop(shop, served) == {"local"}
    shop.go_on()
    shop.wait(lambda: shop.get("/healthz"), seconds=60, what="a gateway")
    shop.wait(lambda: in_the_shop(shop, served) == {"gateway"}, what="a gateway for the shop")

    shop.hang("worker")  # connections are taken by the system, and nobody reads
    assert in_the_shop(shop, served) == {"local"}
    shop.go_on()
    shop.wait(lambda: in_the_shop(shop, served) == {"gateway"}, what="a gateway for the shop")


def test_a_connection_that_nobody_ends(shop, served, tmp_path):
    with Link(shop.ports["eu"]) as link:
        document = json.loads(served.read_text())
        document["base_url"] = f"http://127.0.0.1:{link.port}/v1"
        path = tmp_path / "client.json"
        path.write_text(json.dumps(document))
        for index in served.parent.glob("*.sqlite"):
            (tmp_path / index.name).write_bytes(index.read_bytes())

        async def run():
            async with AsyncShopClient.from_file(path, "support", credential=shop.token("support")) as client:
                first = await client.chat([{"role": "user", "content": "Hello"}])
                while first.firedoor.source != "gateway":  # it answers everybody by then, on a busy machine too
                    first = await client.chat([{"role": "user", "content": "Hello"}])
                link.hang()  # the connection is kept, and half of it is gone
                began = time.monotonic()
                second = await client.chat([{"role": "user", "content": "Hello"}])
                assert time.monotonic() - began < client.surface.deadline + BUSY
                link.heal()
                third = await client.chat([{"role": "user", "content": "Hello"}])
                while third.firedoor.source != "gateway":
                    third = await client.chat([{"role": "user", "content": "Hello"}])
                return [one.firedoor.source for one in (first, second, third)]

        assert asyncio.run(run()) == ["gateway", "local", "gateway"]
    shop.wait(shop.ai, seconds=30, what="AI by itself")
