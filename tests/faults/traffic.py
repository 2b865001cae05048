"""Callers for the fault tests: every kind of client in a thread of its own, and what each of them was told."""

import threading
from collections import Counter

import openai

from firedoor.client import ShopClient

LONG = "WORDS"
"""What makes the scripted model speak for a second or two."""


def chat(text):
    return [{"role": "user", "content": text}]


class Traffic:
    """Whole answers and streams through both clients, from `start` to `stop`. Every exchange id received is kept.

    `wrong` are answers that no caller may ever get: an exception out of the shop's client, a text that is neither the
    model's nor a fallback, a stream without an end.
    """

    def __init__(self, house, client_file, region="eu"):
        self.ids = set()
        self.ends = Counter()
        self.broken = set()
        self.wrong = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        tokens = {name: house.token(region, name) for name in ("support", "account_chat")}
        self._shop = {n: ShopClient.from_file(client_file, n, credential=token) for n, token in tokens.items()}
        self._raw = openai.OpenAI(
            base_url=house.url(region) + "/v1", api_key=tokens["support"], max_retries=0, timeout=20
        )
        callers = (self._shop_whole, self._shop_stream, self._raw_whole, self._raw_stream, self._raw_stream)
        self._threads = [threading.Thread(target=self._repeat, args=(caller,), daemon=True) for caller in callers]

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        """End all of it; every call under way is read to its end first."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a caller hangs"
        for client in self._shop.values():
            client.close()
        self._raw.close()

    def count(self, end):
        with self._lock:
            return self.ends[end]

    def _repeat(self, caller):
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                caller(number)
            except Exception as problem:  # noqa: BLE001  # any is a failure of the test
                self.wrong.append(f"{caller.__name__}: {problem!r}")
                return
            self._over.wait(0.02)  # a shopper's thinking time: the machine has other work to do

    def _note(self, kind, outcome, *ids):
        with self._lock:
            self.ids.update(i for i in ids if i)
            self.ends[f"{kind} {outcome}"] += 1
            self.ends["all"] += 1

    def _check(self, said, *texts):
        if said not in texts:
            self.wrong.append(f"said {said!r}")

    def _shop_whole(self, number):
        text = f"whole {number}"
        answer = self._shop["support"].chat(chat(text))
        self._note("shop whole", f"{answer.firedoor.outcome}/{answer.firedoor.source}", answer.firedoor.exchange)
        self._check(answer.choices[0].message.content, f"You said: {text}", FALLBACK)

    def _shop_stream(self, number):
        with self._shop["account_chat"].chat(chat(f"{LONG} {number}"), stream=True) as stream:
            chunks = list(stream)
        self._note("shop stream", f"{stream.firedoor.outcome}/{stream.firedoor.source}", stream.firedoor.exchange)
        if chunks[-1].choices[0].finish_reason is None:
            self.wrong.append(f"a stream without an end: {stream.firedoor}")

    def _raw_whole(self, number):
        try:
            raw = self._raw.chat.completions.with_raw_response.create(model="small", messages=chat(f"raw {number}"))
        except openai.APIConnectionError:
            self._note("raw whole", "no answer")
            return
        self._note("raw whole", raw.headers["firedoor-outcome"], raw.headers["firedoor-exchange"])
        self._check(raw.parse().choices[0].message.content, f"You said: raw {number}", FALLBACK)

    def _raw_stream(self, number):
        try:
            raw = self._raw.chat.completions.with_raw_response.create(
                model="small", messages=chat(f"{LONG} {number}"), stream=True
            )
        except openai.APIConnectionError:
            self._note("raw stream", "no answer")
            return
        exchange = raw.headers["firedoor-exchange"]
        try:
            last = list(raw.parse())[-1].model_extra["firedoor"]
        except Exception:  # noqa: BLE001  # what the client's HTTP library raises is its own business
            with self._lock:
                self.broken.add(exchange)
            self._note("raw stream", "broken", exchange)
            return
        self._note("raw stream", last["outcome"], exchange, last["exchange"])


FALLBACK = "Our team will answer you by mail."
