"""Everything dies at some time: the processes of a whole installation under load, one after the other and all at once."""

import asyncio
import json
import os
import random
import resource
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import msgspec
import openai
import pytest

from firedoor.client import ShopClient
from firedoor.core.clientfile import client_file
from firedoor.demo.shop import Customer, DemoShop
from firedoor.store.catalog import read_products
from firedoor.store.journal_read import read
from firedoor.store.journal_verify import verify
from firedoor.store.planfile import load
from firedoor.store.segments import slots
from firedoor.upstream.script import decode
from firedoor.upstream.scripted import serve_scripted

from ..e2e import plans  # noqa: TID252  # tests are no installed package
from ..e2e.house import SECRET, House, free_port  # noqa: TID252
from .traffic import FALLBACK, LONG, Traffic, chat

LEASE = 2.0
SLACK = 1.0
"""Seconds a decision may be late on a machine of two cores that is also restarting everything else."""
BUYER = Customer(id="shopper-1", bill_country="DE", ship_country="DE", account_age_days=200)


def script():
    """The end-to-end script, a text of a second or two, and a model that can score a transaction."""
    document = plans.script(SECRET)
    document["rules"] += [
        {
            "name": LONG,
            "when": {"contains": LONG},
            "answer": {"text": "word " * 50, "pace": {"characters": 4, "delay_ms": 20}},
        },
        {
            "name": "SHORT",
            "when": {"contains": "SHORT"},
            "answer": {"text": "word " * 10, "pace": {"characters": 4, "delay_ms": 20}},
        },
        {
            "name": "score",
            "when": {"contains": "account_age_days"},
            "answer": {"text": '{"decision": "allow", "score": 3, "reasons": ["usual"]}'},
        },
    ]
    return document


class Model:
    """The model instance of region us: in a thread of this process, so that a test sees what it was asked."""

    def __init__(self, port):
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(port),), daemon=True)
        self._thread.start()
        assert self._listens.wait(10)

    async def _serve(self, port):
        async with serve_scripted(decode(json.dumps(script()).encode()), port=port) as served:
            self.served = served
            self._listens.set()
            await self._over.wait()

    def stop(self):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


@pytest.fixture(scope="module")
def model():
    model = Model(free_port())
    yield model
    model.stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory, model):
    house = House(tmp_path_factory.mktemp("house"), workers=2)
    house.document["models"]["us-chat"] = {
        "region": "us",
        "engine": "openai",
        "url": model.served.base_url,
        "name": "small",
        "serves": ["chat", "embeddings"],
    }
    house.plan.write_text(json.dumps(house.document))
    (house.folder / "leaky.yaml").write_text(json.dumps(script()))
    house.start()
    plan = load(house.plan).plan
    house.client_file = house.folder / "firedoor-client.json"
    house.client_file.write_bytes(msgspec.json.encode(client_file(plan, "alpenladen", "eu")))
    yield house
    house.remove()


@pytest.fixture
def traffic(house):
    traffic = Traffic(house, house.client_file).start()
    house.wait(
        lambda: traffic.count("raw stream answered") and traffic.count("shop whole answered/gateway"), what="traffic"
    )
    yield traffic
    traffic.stop()


def ask(house, text="hi", region="eu", surface="support", **options):
    """The raw response of one call, fallbacks and refusals included."""
    client = openai.OpenAI(
        base_url=house.url(region) + "/v1", api_key=house.token(region, surface), max_retries=0, timeout=20
    )
    with client:
        try:
            raw = client.chat.completions.with_raw_response.create(model="small", messages=chat(text), **options)
        except openai.APIStatusError as error:
            return error.response
        except openai.APIConnectionError:
            return None
        return raw.http_response


def outcome(response):
    """(outcome, reason) of a whole answer."""
    return (
        (response.headers["firedoor-outcome"], response.headers.get("firedoor-reason"))
        if response is not None
        else None
    )


@contextmanager
def streaming(house, text, region="eu", surface="support"):
    """A stream of which the first words have arrived."""
    client = openai.OpenAI(
        base_url=house.url(region) + "/v1", api_key=house.token(region, surface), max_retries=0, timeout=20
    )
    with client, client.chat.completions.create(model="small", messages=chat(text), stream=True) as stream:
        next(stream)
        yield stream


def end_of(stream):
    """The text that was still to come, the finish reasons, and what the last event says of the outcome."""
    chunks = list(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    text = "".join(choice.delta.content or "" for choice in choices)
    return (
        text,
        [choice.finish_reason for choice in choices if choice.finish_reason],
        chunks[-1].model_extra["firedoor"],
    )


def end(house, text):
    """How a stream on the surface `payment_validation` ended."""
    with streaming(house, text, surface="payment_validation") as stream:
        last = end_of(stream)[2]
    return last["outcome"], last["reason"]


def answers(house, region):
    response = ask(house, region=region)
    return response is not None and outcome(response)[0] == "answered"


def healthy(house):
    for region in house.ports:
        house.wait(lambda region=region: answers(house, region), 30, what=f"an answer in {region}")


def recovered(house, region, name, killed):
    """Wait until the supervisor has started `name` again; its new process id."""
    return house.wait(lambda: new if (new := house.pids(region).get(name)) != killed else None, 30, f"a new {name}")


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def records(house, regions=("eu", "us")):
    """Every leaf of every slot."""
    for region in regions:
        place = house.home.region(region)
        for slot in slots(place.journals):
            for stored in read(place.journal(slot)):
                yield stored.leaf


def outcomes(house, exchange):
    found = [leaf.facts for leaf in records(house) if leaf.exchange == exchange and leaf.kind == "outcome"]
    return [(facts["outcome"], facts["reason"]) for facts in found]


def check_broken(house, traffic):
    """Streams that ended in the middle are closed as unknown, or were whole and only their last event was lost."""
    for exchange in traffic.broken:
        assert outcomes(house, exchange) in ([("unknown", "recovered")], [("answered", None)])


def recorded(house):
    return {leaf.exchange for leaf in records(house)}


def reports(house):
    return [slot for region in house.ports for slot in verify(house.home.region(region).journals).slots]


def verified(house):
    """What a stranger would find: nothing damaged."""
    done = house.run("evidence", "verify")
    assert done.stdout.rstrip().endswith("verified")


def shut(house, scope):
    return house.run(
        "shut", scope, "--reason", "operator", "--note", "test", "--as", "cem", "--key", house.keys["cem"], check=False
    )


def shut_scopes(house):
    done = house.run("switches", "--json", check=False)
    return done.stdout


@contextmanager
def nothing_restarts(house):
    """The supervisor stands still: what is killed stays dead until the end of the block."""
    os.kill(house.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(house.process.pid, signal.SIGCONT)


def test_a_killed_worker_comes_back_and_nothing_answered_is_lost(house, traffic):
    with streaming(house, "SLOW") as stream:
        exchange = stream.response.headers["firedoor-exchange"]
        # Which worker has it is the kernel's choice.
        name = next(leaf.slot for leaf in records(house) if leaf.exchange == exchange)
        worker = house.pids("eu")[name]
        answered = traffic.count("all")
        os.kill(worker, signal.SIGKILL)
        recovered(house, "eu", name, worker)
    house.wait(lambda: traffic.count("all") > answered + 50, 30, what="answers after the kill")
    healthy(house)
    traffic.stop()

    assert traffic.wrong == []
    assert traffic.ids <= recorded(house)

    def told():
        """What the end of the traffic cut off is on record as well."""
        slot = next(s for s in reports(house) if (s.region, s.slot) == ("eu", name))
        return (slot.open, slot.damage) == (0, [])

    house.wait(told, what="a whole slot without open exchanges")
    assert outcomes(house, exchange) == [("unknown", "recovered")]
    check_broken(house, traffic)
    verified(house)


def test_a_killed_model_server_ends_streams_well_and_comes_back(house, traffic):
    place = house.home.region("eu")
    url, key = place.model_url("eu-chat").read_text(), place.model_key("eu-chat").read_text()
    killed = house.pids("eu")["model:eu-chat"]
    with streaming(house, "SLOW") as stream:
        os.kill(killed, signal.SIGKILL)
        text, finish, last = end_of(stream)
    assert text.endswith("This answer was stopped.")
    assert finish == ["content_filter"]
    assert (last["outcome"], last["reason"]) == ("cut", "model_died")
    recovered(house, "eu", "model:eu-chat", killed)
    healthy(house)
    traffic.stop()

    assert traffic.wrong == []
    assert traffic.broken == set()
    assert traffic.count("raw whole no answer") == 0
    assert traffic.ids <= recorded(house)
    assert (place.model_url("eu-chat").read_text(), place.model_key("eu-chat").read_text()) == (url, key)
    assert outcomes(house, last["exchange"]) == [("cut", "model_died")]
    verified(house)


def test_without_control_ai_goes_off_with_the_lease_and_comes_back_as_it_was(house):
    shut(house, "eu/alpenladen/recommendations")
    house.wait(lambda: outcome(ask(house, surface="recommendations")) == ("fallback", "operator"), what="a shut door")
    killed = house.pids("eu")["control"]
    with (
        ShopClient.from_file(house.client_file, "fraud_scoring", credential=house.token("eu", "fraud_scoring")) as shop,
        streaming(house, "SLOW") as stream,
        nothing_restarts(house),
    ):
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        house.wait(lambda: outcome(ask(house)) == ("fallback", "lease_over"), what="AI off")
        assert time.monotonic() - began < LEASE + 8
        text, finish, last = end_of(stream)
        assert text.endswith("This answer was stopped.")
        assert finish == ["content_filter"]
        assert (last["outcome"], last["reason"]) == ("cut", "lease_over")
        for surface in ("support", "account_chat", "product_discovery", "fraud_scoring", "payment_validation"):
            response = ask(house, surface=surface)
            assert outcome(response) == ("fallback", "lease_over")
            assert (response.status_code, response.headers["firedoor-switch"].split(";")[0]) == (200, "stale")
        assert shop.decide({"amount": 12}).by == "gateway-fallback"
        assert outcome(ask(house, surface="recommendations")) == ("fallback", "operator")
        assert outcome(ask(house, region="us")) == ("answered", None)

    recovered(house, "eu", "control", killed)
    house.wait(lambda: answers(house, "eu"), 30, what="AI on again")
    response = ask(house, surface="recommendations")
    assert (response.status_code, outcome(response)) == (503, ("fallback", "operator"))
    assert "eu/alpenladen/recommendations/*" in shut_scopes(house)
    verified(house)


class Buyer:
    """Checks out without a pause, and keeps what came of it."""

    def __init__(self, house, folder):
        self.shop = DemoShop(folder / "shop.sqlite")
        articles = [p for p in read_products(house.folder / "catalog.jsonl") if p.stock]
        self._articles = [msgspec.structs.replace(p, stock=1_000_000) for p in articles]
        self.shop.stock_up(self._articles)
        self._client = ShopClient.from_file(
            house.client_file, "fraud_scoring", credential=house.token("eu", "fraud_scoring")
        )
        self.deadline = self._client.surface.deadline
        self.by = Counter()
        self.slowest = 0.0
        self.failed = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._buy, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)
        self._client.close()

    def _decide(self, transaction):
        began = time.monotonic()
        try:
            return self._client.decide(transaction)
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)

    def _buy(self):
        number = 0
        while not self._over.wait(0.02):
            number += 1
            try:
                self.shop.add_to_cart(f"cart-{number}", self._articles[number % len(self._articles)].sku)
                order = self.shop.checkout(f"cart-{number}", BUYER, self._decide)
            except Exception as problem:  # noqa: BLE001  # any is a failure of the test
                self.failed.append(repr(problem))
            else:
                self.by[order.decision.by] += 1


@pytest.mark.torture
def test_checkout_goes_on_while_every_gateway_is_dead(house, traffic, tmp_path):
    with Buyer(house, tmp_path) as buyer:
        house.wait(lambda: buyer.by["model"] > 2, what="orders")
        workers = {
            (region, name): pid
            for region in house.ports
            for name, pid in house.pids(region).items()
            if "worker" in name
        }
        assert len(workers) == 3
        with nothing_restarts(house):
            for pid in workers.values():
                os.kill(pid, signal.SIGKILL)
            house.wait(lambda: all(refused(port) for port in house.ports.values()), what="the end of all gateways")
            before = dict(buyer.by)
            house.wait(lambda: buyer.by["local-rules"] > before.get("local-rules", 0) + 20, what="local decisions")
            assert buyer.by["model"] <= before["model"] + 1  # one may have been under way
        for (region, name), pid in workers.items():
            recovered(house, region, name, pid)
        healthy(house)
        before = buyer.by["model"]
        house.wait(lambda: buyer.by["model"] > before + 2, 30, what="decisions of the model")
    traffic.stop()

    assert buyer.failed == []
    assert buyer.slowest < buyer.deadline + SLACK
    assert len(buyer.shop.orders()) == buyer.by.total()
    assert traffic.wrong == []
    assert traffic.ids <= recorded(house)
    assert {s.open for s in reports(house)} == {0}
    check_broken(house, traffic)
    verified(house)


def test_a_second_supervisor_refuses_to_run_beside_the_first(house):
    second = house.run("up", check=False)
    assert second.returncode != 0
    assert "Another `firedoor up` runs" in second.stderr
    assert outcome(ask(house)) == ("answered", None)


@pytest.mark.torture
def test_a_killed_supervisor_leaves_nothing_behind_and_a_new_one_goes_on(house):
    shut(house, "eu/alpenladen/recommendations")
    children = {pid for region in house.ports for pid in house.pids(region).values()}
    assert len(children) == 8  # three workers, two controls, two agents, one model server
    hung = house.pids("us")["worker-0"]
    with streaming(house, "SLOW") as stream:
        os.kill(hung, signal.SIGSTOP)  # this one does not see that its parent is gone
        house.process.kill()
        house.process.wait()
        _, finish, last = end_of(stream)
        assert len(finish) == 1
        assert last["outcome"] in ("answered", "cut")
    house.wait(lambda: all(gone(pid) for pid in children - {hung}), what="the end of the other children")
    assert refused(house.ports["eu"])
    assert {s.open for s in reports(house)} == {0}

    def let_go():
        house.wait(lambda: "Waiting for" in (house.folder / "up.log").read_text(), 30, what="a new one that waits")
        os.kill(hung, signal.SIGCONT)

    waiting = threading.Thread(target=let_go)
    (house.folder / "up.log").write_bytes(b"")
    waiting.start()
    house.start()
    waiting.join()
    assert gone(hung)
    healthy(house)
    assert outcome(ask(house, surface="recommendations")) == ("fallback", "operator")
    assert "eu/alpenladen/recommendations/*" in shut_scopes(house)
    verified(house)


@pytest.mark.torture
def test_told_to_end_it_ends_every_exchange_first(house, model):
    before = sum(s.unknown for s in reports(house))
    house.token("us", "support")
    whole = []
    waiting = threading.Thread(target=lambda: whole.append(ask(house, "HANG", region="us")))
    with streaming(house, "SLOW") as slow, streaming(house, "SHORT") as short:
        waiting.start()
        house.wait(lambda: model.served.received[-1].last_user() == "HANG", what="a model that hangs")
        house.process.send_signal(signal.SIGTERM)
        _, finish, last = end_of(short)
        assert (finish, last["outcome"]) == (["stop"], "answered")
        text, finish, cut = end_of(slow)
        assert text.endswith("This answer was stopped.")
        assert (finish, cut["outcome"], cut["reason"]) == (["content_filter"], "cut", "stopping")
    waiting.join(10)
    assert outcome(whole[0]) == ("fallback", "stopping")
    assert house.process.wait(20) == 0
    assert all(refused(port) for port in house.ports.values())
    assert {s.open for s in reports(house)} == {0}
    assert sum(s.unknown for s in reports(house)) == before
    assert outcomes(house, cut["exchange"]) == [("cut", "stopping")]

    house.start()
    healthy(house)
    assert sum(s.unknown for s in reports(house)) == before
    verified(house)


@contextmanager
def full_disk(pid, size=0):
    """No file of the process grows past `size`: every write behind it fails, as on a full disk."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        if not gone(pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_a_worker_whose_disk_is_full_serves_fallbacks_and_says_why(house):
    worker = house.pids("us")["worker-0"]
    place = house.home.region("us")
    newest = max(place.journal("worker-0").glob("*.journal"))
    with streaming(house, "SLOW", region="us") as stream:
        with full_disk(worker, newest.stat().st_size + 4000):
            text, finish, last = end_of(stream)
            assert text.endswith("This answer was stopped.")
            assert (finish, last["outcome"], last["reason"]) == (["content_filter"], "cut", "journal_poisoned")
            for surface in ("support", "account_chat", "product_discovery", "fraud_scoring"):
                assert outcome(ask(house, region="us", surface=surface)) == ("fallback", "journal_poisoned")
            assert health(house, "us")["journal"] == "poisoned"
        assert outcome(ask(house, region="us")) == ("fallback", "journal_poisoned")  # room alone does not cure it
    assert house.pids("us")["worker-0"] == worker
    assert not gone(worker)
    assert metric(house, "us", "not_recorded") >= 5
    assert outcome(ask(house)) == ("answered", None)
    verified(house)

    os.kill(worker, signal.SIGKILL)
    recovered(house, "us", "worker-0", worker)
    healthy(house)
    assert health(house, "us")["journal"] == "ok"
    assert outcomes(house, last["exchange"]) == [("unknown", "recovered")]
    verified(house)


def test_an_intent_that_cannot_be_written_keeps_the_model_out(house, model):
    worker = house.pids("us")["worker-0"]
    asked = len(model.served.received)
    with full_disk(worker):
        response = ask(house, region="us")
        assert outcome(response) == ("fallback", "not_recorded")
        assert response.json()["choices"][0]["message"]["content"] == FALLBACK
    assert len(model.served.received) == asked
    os.kill(worker, signal.SIGKILL)
    recovered(house, "us", "worker-0", worker)
    healthy(house)


def test_control_whose_disk_is_full_shuts_all_the_same_and_remembers_it(house):
    control = house.pids("us")["control"]
    with full_disk(control):
        shut(house, "us/alpenladen/recommendations")
        house.wait(
            lambda: outcome(ask(house, region="us", surface="recommendations")) == ("fallback", "operator"),
            what="a shut door",
        )
        assert answers(house, "us")
    assert not gone(control)
    state = house.home.region("us").control_state
    house.wait(lambda: b"recommendations" in on_disk(state), what="the table on the disk")
    os.kill(control, signal.SIGKILL)
    recovered(house, "us", "control", control)
    healthy(house)
    assert outcome(ask(house, region="us", surface="recommendations")) == ("fallback", "operator")
    verified(house)


def on_disk(database):
    """All bytes of a SQLite database, of its write-ahead log too."""
    return b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))


def health(house, region):
    return json.loads(get(house, region, "/healthz"))


def metric(house, region, event):
    lines = get(house, region, "/metrics").splitlines()
    found = [line.rpartition(" ")[2] for line in lines if f'event="{event}"' in line]
    return int(found[0]) if found else 0


def get(house, region, path):
    with socket.create_connection(("127.0.0.1", house.ports[region]), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        with connection.makefile("rb") as reply:
            return reply.read().decode().partition("\r\n\r\n")[2]


def private_kib(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))


class Still:
    """True once a number has not changed for a second."""

    def __init__(self, number):
        self._number = number
        self._last = None
        self._since = time.monotonic()

    def __call__(self):
        now = self._number()
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        return time.monotonic() - self._since > 1.0


@contextmanager
def stalled(house, region, surface):
    """A caller that asks for an endless stream and reads nothing after its head; the exchange's id."""
    body = json.dumps({"model": "small", "stream": True, "messages": chat("HUGE")}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.token(region, surface)}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", house.ports[region]))
        slow.sendall(head.encode() + body)
        lines = slow.recv(2048).decode("latin-1").split("\r\n")
        yield next(line for line in lines if line.lower().startswith("firedoor-exchange")).partition(": ")[2]


def kernel_buffers():
    """Bytes that the kernel may hold for two connections (tcp(7)), one direction each."""
    return 2 * sum(int(Path(f"/proc/sys/net/ipv4/tcp_{way}mem").read_text().split()[2]) for way in "rw")


@contextmanager
def waiting(house, model):
    """A stalled caller, as `stalled` tells it, and what the model is asked and waits with. Another one is taken if the
    lease ran out meanwhile: on a starved machine AI goes off, and that ends every stream.
    """
    for _ in range(4):
        healthy(house)
        with stalled(house, "us", "support") as exchange:
            asked = model.served.received[-1]
            assert asked.last_user() == "HUGE"
            house.wait(Still(lambda asked=asked: asked.events), 30, what="a model that waits")
            if asked.end == "running":
                yield exchange, asked
                return
            house.wait(lambda exchange=exchange: outcomes(house, exchange), what="the record of it")
            assert outcomes(house, exchange) == [("cut", "lease_over")]
    raise AssertionError("the lease runs out each time")


def test_a_slow_reader_slows_the_model_and_not_the_gateway(house, model):
    healthy(house)
    worker = house.pids("us")["worker-0"]
    before = private_kib(worker)
    with waiting(house, model) as (exchange, asked):
        assert asked.events * 16_384 < kernel_buffers() + 2**20
        assert private_kib(worker) - before < 16 * 1024
        assert outcomes(house, exchange) == []
        assert answers(house, "us")
    house.wait(lambda: asked.end == "cancelled", what="the end of the model's work")
    house.wait(lambda: outcomes(house, exchange) == [("cut", "client_left")], what="the record of it")


def test_a_slow_reader_does_not_keep_the_model_when_its_door_shuts(house, model):
    healthy(house)
    with stalled(house, "us", "account_chat") as exchange:
        asked = model.served.received[-1]
        house.wait(Still(lambda: asked.events), 30, what="a model that waits")
        shut(house, "us/alpenladen/account_chat")
        house.wait(lambda: asked.end == "cancelled", what="the end of the model's work")
    house.wait(lambda: outcomes(house, exchange), what="the record of it")
    assert outcomes(house, exchange)[-1][0] == "cut"


def test_a_leak_shuts_even_if_worker_and_control_die_of_it(house):
    house.run("protect", "add", "--region", "eu", "--set", "supplier_prices", SECRET)
    scope = "eu/alpenladen/payment_validation/eu-chat"
    pids = house.pids("eu")

    def leaks():
        """Whether a worker stopped the leak, and only its journal knows: control stands still."""
        os.kill(pids["control"], signal.SIGSTOP)
        stopped = end(house, "LEAK") == ("cut", "leak")
        if not stopped:  # the value is not loaded yet
            os.kill(pids["control"], signal.SIGCONT)
        return stopped

    with nothing_restarts(house):
        house.wait(leaks, what="a leak that is stopped")
        for name in ("control", "worker-0", "worker-1"):
            os.kill(pids[name], signal.SIGKILL)
    for name in ("control", "worker-0", "worker-1"):
        recovered(house, "eu", name, pids[name])
    healthy(house)
    assert outcome(ask(house, surface="payment_validation")) == ("fallback", "leak")
    assert scope in shut_scopes(house)
    verified(house)


@pytest.mark.torture
def test_a_worker_with_damaged_evidence_serves_fallbacks_until_it_is_whole_again(house):
    """Nothing is written over what does not verify, and nothing is asked of the model; nobody waits for an answer."""
    worker = house.pids("us")["worker-0"]
    newest = max(house.home.region("us").journal("worker-0").glob("*.journal"))
    place = newest.stat().st_size // 2
    byte = newest.read_bytes()[place]
    with newest.open("r+b") as file:
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    os.kill(worker, signal.SIGKILL)
    recovered(house, "us", "worker-0", worker)
    house.wait(lambda: outcome(ask(house, region="us")) == ("fallback", "journal_poisoned"), 30, what="a fallback")
    assert health(house, "us")["journal"] == "poisoned"
    done = house.run("evidence", "verify", check=False)
    assert done.returncode == 1
    assert newest.name in done.stdout

    with newest.open("r+b") as file:
        file.seek(place)
        file.write(bytes([byte]))
    house.wait(lambda: answers(house, "us"), 30, what="AI on again")
    verified(house)


ROUNDS = int(os.environ.get("FIREDOOR_TORTURE_ROUNDS", "20"))


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_many_kills_in_a_row(house, traffic, tmp_path):
    rng = random.Random(20)
    with Buyer(house, tmp_path) as buyer:
        for turn in range(ROUNDS):
            alive = [(region, name, pid) for region in house.ports for name, pid in house.pids(region).items()]
            victims = rng.sample(alive, rng.randrange(1, 4))
            for _, _, pid in victims:
                os.kill(pid, signal.SIGKILL)
            if turn % 5 == 4:
                house.process.kill()
                house.process.wait()
                house.start()
            for region, name, pid in victims:
                recovered(house, region, name, pid)
            healthy(house)
            assert all(slot.damage == [] for slot in reports(house))
    traffic.stop()

    assert buyer.failed == []
    assert buyer.slowest < buyer.deadline + SLACK
    assert len(buyer.shop.orders()) == buyer.by.total()
    assert traffic.wrong == []
    assert traffic.ids <= recorded(house)
    assert {s.open for s in reports(house)} == {0}
    verified(house)
