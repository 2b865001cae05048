"""The configuration of a region's NATS servers, from the plan. Pure.

Two accounts on every server: one is the region's, where its control and its hosts talk; the other is for the link
between servers of two regions, and holds one subject, which flows one way: from the region that keeps the switches of
all (the hub, which listens) to the others (the leaves, which call it). What is published in a region's account cannot
reach the link's, whatever the other server asks for; what comes over the link cannot be anything but that subject.

Several servers of a region do not know of each other: control and hosts are connected to all of them, and each leaf to
all servers of the hub. Keys and paths of files are variables: the server reads them from its environment, and does not
start without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from firedoor.core.plan.model import Loaded, NatsBus
from firedoor.core.topics import GLOBAL
from firedoor.errors import SetupError

CLIENT: Final = "FIREDOOR_NATS_CLIENT"
"""Public key of the region's control and hosts."""
LEAF_SEED: Final = "FIREDOOR_NATS_LEAF_SEED"
"""Seed of the key that the servers of this region show to the hub: the line of its file that begins with SU."""
CERTIFICATE, CERTIFICATE_KEY, HUB_CA = "FIREDOOR_NATS_CERT", "FIREDOOR_NATS_CERT_KEY", "FIREDOOR_NATS_HUB_CA"
LEAF_PORT: Final = 3200
"""Above the port for clients: 7422 is what leaf nodes use beside 4222."""

_LIMITS: Final = """\
max_payload: 256KB      # a full switch table is 192 KB
max_pending: 4MB        # who is behind by more is cut off, and begins anew
write_deadline: "1s"    # the same for who does not read
max_connections: 1024
max_subscriptions: 64
no_header_support: true
ping_interval: "1s"     # a hung host or server is noticed in two
ping_max: 2
"""


def leaf_variable(region: str) -> str:
    """The variable for the public key of the servers of `region`, on the hub."""
    return f"FIREDOOR_NATS_LEAF_{region.upper().replace('-', '_')}"


def render(loaded: Loaded, region: str, server: int = 0) -> str:
    """The configuration of server number `server` of `region`. Raises `SetupError` if the plan names no such server."""
    plan = loaded.plan
    bus = plan.regions[region].bus
    if bus is None or server >= len(bus.servers):
        count = 0 if bus is None else len(bus.servers)
        remedy = "Name it in the plan: regions.NAME.bus.servers."
        raise SetupError(f"The plan names {count} NATS servers for region {region}.", remedy=remedy)
    home = plan.switches.home
    others = [name for name, declared in plan.regions.items() if declared.bus is not None and name != region]
    leaves = others if region == home else []
    if len({leaf_variable(name) for name in leaves}) < len(leaves):
        raise SetupError("Two regions differ only in - and _: they would share a key.", remedy="Rename one.")
    hub = plan.regions[home].bus if home in others and home is not None else None
    blocks = (_head(loaded, region, bus, server), _accounts(region, home, leaves))
    return "\n".join((*blocks, *_leafnodes(bus, server, hub, listens=bool(leaves))))


def _head(loaded: Loaded, region: str, bus: NatsBus, server: int) -> str:
    url = bus.servers[server]
    lines = [
        f"# NATS server {server} of region {region}, as the plan {loaded.digest[:12]} declares it.",
        "# The variables come from its environment. Keys: firedoor switches nats-key FILE",
        f"listen: {_listen(url, 0)}",
        *_tls(url),
    ]
    return "\n".join(lines) + "\n" + _LIMITS


def _accounts(region: str, home: str | None, leaves: list[str]) -> str:
    own = f"firedoor.{region}.*"
    says = [own, GLOBAL] if region == home else [own]
    client = _user(CLIENT, "STANDARD", says, [own, GLOBAL])
    shared = json.dumps(GLOBAL)
    if region == home:
        users = "\n".join(_user(leaf_variable(leaf), "LEAFNODE", [], [GLOBAL]) for leaf in leaves)
        gives, gets = (
            f"exports: [{{stream: {shared}}}]",
            f"imports: [{{stream: {{account: REGION, subject: {shared}}}}}]",
        )
    else:
        users = ""
        gives, gets = f"imports: [{{stream: {{account: LINK, subject: {shared}}}}}]", f"exports: [{{stream: {shared}}}]"
    return f"""\
accounts {{
  REGION {{
    users: [
{client}
    ]
    {gives}
  }}
  LINK {{
    users: [
{users}
    ]
    {gets}
  }}
}}
"""


def _user(variable: str, kind: str, says: list[str], hears: list[str]) -> str:
    publish = f"allow: {json.dumps(says)}" if says else 'deny: ">"'
    return f"""\
      {{
        nkey: ${variable}
        allowed_connection_types: ["{kind}"]
        permissions: {{publish: {{{publish}}}, subscribe: {{allow: {json.dumps(hears)}}}}}
      }}"""


def _leafnodes(bus: NatsBus, server: int, hub: NatsBus | None, *, listens: bool) -> Iterator[str]:
    if listens:
        tls = "".join(f"  {line}\n" for line in _tls(bus.servers[server]))
        yield f"leafnodes {{\n  listen: {_listen(bus.servers[server], LEAF_PORT)}\n{tls}}}\n"
    if hub is not None:
        remotes = "\n".join(_remote(url, hub) for url in hub.servers)
        yield f"""\
leafnodes {{
  reconnect: "500ms"
  remotes: [
{remotes}
  ]
}}
"""


def _remote(url: str, hub: NatsBus) -> str:
    secure = url.startswith("tls:")
    ca = f"\n      tls: {{ca_file: ${HUB_CA}}}" if secure and hub.ca_file is not None else ""
    return f"""\
    {{
      urls: [{json.dumps(f"{'tls' if secure else 'nats-leaf'}://{_place(url, LEAF_PORT)}")}]
      account: LINK
      nkey: ${LEAF_SEED}
      deny_exports: ">"{ca}
    }}"""


def _tls(url: str) -> list[str]:
    """Encrypted where the plan's address of the server says so."""
    return [f"tls: {{cert_file: ${CERTIFICATE}, key_file: ${CERTIFICATE_KEY}}}"] if url.startswith("tls:") else []


def _listen(url: str, above: int) -> str:
    """On all addresses, unless the plan's is this machine itself."""
    host = urlsplit(url).hostname or ""
    own = host in {"localhost", "::1"} or host.startswith("127.")
    return json.dumps(_place(url, above) if own else f"0.0.0.0:{_port(url) + above}")


def _place(url: str, above: int) -> str:
    host = urlsplit(url).hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{_port(url) + above}"


def _port(url: str) -> int:
    return urlsplit(url).port or 4222
