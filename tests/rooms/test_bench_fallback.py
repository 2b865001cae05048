"""The bench of fallbacks: what it sends, and that it counts what is late and what is lost."""

import asyncio
import json

from firedoor.bench.fallback import CHECKOUT, DEADLINE, _Till, _with_checkout
from firedoor.bench.house import furnish
from firedoor.core.plan.decode import decode
from firedoor.core.plan.model import RulesFallback
from firedoor.core.rules import rules

ANSWER = b'{"choices": [{"message": {"content": "{\\"decision\\": \\"allow\\"}"}}]}'


def test_its_plan_has_the_surfaces_of_a_checkout(tmp_path):
    house = furnish(tmp_path / "home", 9, _with_checkout)
    plan = decode(house.home.plan.read_bytes(), "plan").plan
    for name in CHECKOUT:
        assert plan.surfaces[name].deadline == DEADLINE
        assert isinstance(plan.surfaces[name].fallback, RulesFallback)
    decided = json.loads(rules(plan.surfaces["fraud_scoring"].fallback, {"amount": 700, "attempts": 2}))
    assert (decided["decision"], decided["score"]) == ("allow", 30.0)


def test_what_is_late_and_what_is_lost_is_counted():
    seen = []

    async def serve(reader, writer):
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                break
            length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
            transaction = json.loads(json.loads(await reader.readexactly(length))["messages"][0]["content"])
            seen.append((head.partition("Bearer ")[2].partition("\r\n")[0], transaction["amount"]))
            if transaction["amount"] == 4:
                break
            await asyncio.sleep(0.5 if transaction["amount"] == 7 else 0)
            reason = b"firedoor-reason: lease_over\r\n" if transaction["amount"] % 2 else b""
            writer.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (reason, len(ANSWER), ANSWER))
        writer.close()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        till = _Till(server.sockets[0].getsockname()[1], ["one", "two"])
        await till.run(20, 0.5)
        server.close()
        return till

    till = asyncio.run(run())
    assert sorted(seen) == [("one" if n % 2 == 0 else "two", n) for n in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)]
    assert (till.lost, dict(till.reasons)) == (1, {"none": 4, "lease_over": 5})
    assert max(till.waits) >= 0.5
