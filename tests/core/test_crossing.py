"""What may pass between regions: nothing but four strict messages, out of one module."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firedoor
from firedoor.core import crossing
from firedoor.core.crossing import AddCheckpoint, Conflict, Cosignatures, GlobalSaid, decode, encode
from firedoor.core.evidence.checkpoint import Checkpoint, signature
from firedoor.core.evidence.note import Signature
from firedoor.core.switches import GlobalTable, Scope, Switch, Table, global_part
from firedoor.errors import EvidenceDamaged

from .logs import NOW, MemoryLog, witness_keys

LOG = MemoryLog()
WITNESS = witness_keys("witness.nordlicht.example/w1")
REQUEST = AddCheckpoint(5, LOG.proof(5, 9), LOG.checkpoint(9), LOG.signatures(9))
ANSWER = Cosignatures(tuple(signature(LOG.checkpoint(9), signer, NOW) for signer in WITNESS))
CONFLICT = Conflict(7)
SHUT = Switch(Scope("*", "alpen", "support"), "leak", 1_800_000_000.0, ("0123456789abcdef",), None, "INC-7", 41)
GLOBAL = GlobalSaid(
    GlobalTable("eu", 42, (SHUT, Switch(Scope("*"), "operator", 5.0))), 3, "fedcba9876543210", bytes(64)
)
MESSAGES = [
    REQUEST,
    ANSWER,
    CONFLICT,
    Conflict(0),
    Conflict(2**63 - 1),
    AddCheckpoint(0, (), REQUEST.checkpoint, REQUEST.signatures),
    GLOBAL,
]
TYPES = [AddCheckpoint, Cosignatures, Conflict, GlobalSaid]

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~:/-]{0,199}", fullmatch=True)
sizes = st.integers(0, 2**63 - 1)
hashes = st.binary(min_size=32, max_size=32)
signatures = st.lists(
    st.builds(
        Signature,
        names,
        st.binary(min_size=4, max_size=4),
        st.sampled_from([64, 72]).flatmap(lambda n: st.binary(min_size=n, max_size=n)) | st.just(bytes(2428)),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda s: (s.name, s.id),
).map(tuple)
checkpoints = st.builds(Checkpoint, names, sizes.map(lambda n: n or 1), hashes)
plan_names = st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True)
parts = st.just("*") | plan_names
key_ids = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
switches = st.builds(
    Switch,
    st.builds(Scope, st.just("*"), parts, parts, parts),
    st.sampled_from(["leak", "operator", "file", "suspicion", "maintenance"]),
    st.integers(0, 2**50).map(float),
    st.lists(key_ids, max_size=2).map(tuple),
    st.none(),
    st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", fullmatch=True),
    sizes,
)
globals_ = st.builds(
    GlobalSaid,
    st.builds(GlobalTable, plan_names, sizes, st.lists(switches, max_size=5).map(tuple)),
    sizes,
    key_ids,
    st.binary(min_size=64, max_size=64),
)
messages = (
    st.builds(AddCheckpoint, sizes, st.lists(hashes, max_size=63).map(tuple), checkpoints, signatures)
    | st.builds(Cosignatures, signatures)
    | st.builds(Conflict, sizes)
    | globals_
)


def leaves(value):
    """All values inside a message that are not structures."""
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in leaves(one)]
    return [value]


def holds_nothing_else(message) -> None:
    """Every value is a number below its bound, bytes of a known length, or a name in the characters of a URL."""
    for leaf in leaves(message):
        match leaf:
            case None:
                pass
            case int() | float():
                assert 0 <= leaf < 2**63
                assert leaf == int(leaf)
            case bytes():
                assert len(leaf) in {4, 32, 64, 72, 2428}
            case str():
                assert leaf == "*" or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~:/-]{0,199}", leaf, re.ASCII)
            case _:
                raise AssertionError(type(leaf))


def decoded_or_refused(data: bytes) -> None:
    for kind in TYPES:
        try:
            message = decode(kind, data)
        except EvidenceDamaged:
            continue
        assert type(message) is kind
        assert encode(message) == data
        holds_nothing_else(message)


@settings(max_examples=200, deadline=None)
@given(messages)
def test_every_message_comes_back_the_same(message) -> None:
    data = encode(message)
    assert decode(type(message), data) == message
    holds_nothing_else(message)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=400)
    | st.text(max_size=300).map(str.encode)
    | st.from_regex(r"(old )?[0-9]{1,22}\n+").map(str.encode)
)
def test_arbitrary_bytes_are_refused_or_are_exactly_a_message(data) -> None:
    decoded_or_refused(data)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([encode(m) for m in MESSAGES]), st.data())
def test_a_message_with_anything_changed_is_refused_or_another_exact_message(data, draw) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        start = draw.draw(st.integers(0, len(changed)))
        end = draw.draw(st.integers(start, min(len(changed), start + 5)))
        changed[start:end] = draw.draw(
            st.binary(max_size=5) | st.sampled_from([b"\n", b"\n\n", b" ", b"=", b"0", "—".encode()])
        )
    decoded_or_refused(bytes(changed))


class Prompt(msgspec.Struct, frozen=True):
    """Looks like a message, is none."""

    size: int


class Longer(Conflict, frozen=True):
    """A message with room for more."""

    text: str = "the shopper said"


@pytest.mark.parametrize(
    "value",
    [
        b"text",
        "text",
        7,
        None,
        {"size": 7},
        Prompt(7),
        Longer(7),
        REQUEST.checkpoint,
        ANSWER.signatures[0],
        (CONFLICT,),
    ],
)
def test_nothing_else_can_be_encoded(value) -> None:
    with pytest.raises(TypeError, match="does not pass between regions"):
        encode(value)
    with pytest.raises(TypeError, match="does not pass between regions"):
        decode(type(value), b"7\n")


def with_(message, **changes):
    return msgspec.structs.replace(message, **changes)


LINE = ANSWER.signatures[0]


@pytest.mark.parametrize(
    "message",
    [
        Conflict(-1),
        Conflict(2**63),
        Conflict("7\nMara Weiss"),
        Cosignatures(()),
        Cosignatures((with_(LINE, name="Mara Weiss"),)),
        Cosignatures((with_(LINE, name="mara@nordlicht.example"),)),
        Cosignatures((with_(LINE, name="w1 AAAA\n— w2"),)),
        Cosignatures((with_(LINE, payload=b"what the shopper wrote"),)),
        Cosignatures((with_(LINE, id=b"12345"),)),
        Cosignatures((LINE, LINE)),
        Cosignatures(tuple(with_(LINE, name=f"w{n}") for n in range(17))),
        Cosignatures(("text",)),
        with_(REQUEST, old=-1),
        with_(REQUEST, old=5.0),
        with_(REQUEST, proof=(bytes(31),)),
        with_(REQUEST, proof=(bytes(32),) * 64),
        with_(REQUEST, proof="text"),
        with_(REQUEST, proof=[bytes(32)]),
        with_(REQUEST, signatures=()),
        with_(REQUEST, checkpoint=Prompt(7)),
        with_(GLOBAL, table=GlobalTable("Mara Weiss", 1)),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, keys=("mara",)),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, keys=("0123456789abcdef",) * 3),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, exchange="ex-1"),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, drill="friday"),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, reason="she told me her card number"),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, reason="drill"),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, since=5.25),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, incident="Mara called"),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, scope=Scope("eu")),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (with_(SHUT, scope=Scope("*", "Mara Weiss")),))),
        with_(GLOBAL, table=GlobalTable("eu", 1, (SHUT,) * 97)),
        with_(GLOBAL, table=Table("eu", 1, "ab" * 32)),
        with_(GLOBAL, key="mara"),
        with_(GLOBAL, signature=b"what the shopper wrote"),
        with_(GLOBAL, signature=bytes(72)),
        with_(GLOBAL, beat=-1),
    ],
    ids=lambda message: repr(message)[:60],
)
def test_a_message_with_a_value_it_cannot_carry_does_not_leave(message) -> None:
    with pytest.raises(EvidenceDamaged):
        encode(message)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d + b"\n",
        lambda d: d + b"text\n",
        lambda d: b"new 1\n" + d,
        lambda d: d.replace(b"old 5", b"old 05"),
        lambda d: d.replace(b"old 5", b"old  5"),
        lambda d: d.replace(b"old 5", b"old +5"),
        lambda d: d.replace(b"old 5", b"size 5"),
        lambda d: d.replace(b"\n", b"\r\n"),
        lambda d: d.replace(b"=\n", b"==\n", 1),
        lambda d: d.replace(b"=\n", b"\n", 1),
        lambda d: d.replace(b"\n9\n", b"\n9\n\n"),
        lambda d: re.sub(rb"(\n9\n[^\n]*\n)", rb"\1an extension line\n", d),
        lambda d: d.partition(b"\n\n")[0] + b"\n\n",
        lambda d: d.partition(b"\n\n")[2],
        lambda d: d.replace("—".encode(), "–".encode()),
        lambda d: d + b"x" * 70_000,
    ],
)
def test_a_request_with_anything_more_or_less_is_refused(change) -> None:
    changed = change(encode(REQUEST))
    assert changed != encode(REQUEST)
    with pytest.raises(EvidenceDamaged):
        decode(AddCheckpoint, changed)


def test_base64_has_one_form_only() -> None:
    data = encode(REQUEST)
    last = re.search(rb"\n9\n[A-Za-z0-9+/]{42}(.)=\n", data)
    assert last is not None
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    same_bits = alphabet[alphabet.index(last[1]) | 1 : alphabet.index(last[1]) | 1 | 1 + 1][:1]
    changed = data[: last.start(1)] + same_bits + data[last.end(1) :]
    assert changed != data
    with pytest.raises(EvidenceDamaged, match="base64"):
        decode(AddCheckpoint, changed)


def test_of_a_regions_table_only_what_holds_everywhere_passes() -> None:
    here = Switch(Scope("eu", "alpen"), "leak", 1_800_000_000.5, (), "ex-5", None, 7)
    everywhere = Switch(Scope("*"), "leak", 1_800_000_000.5, ("0123456789abcdef",), "ex-6", "INC-1", 8)
    drill = Switch(Scope("*"), "drill", 5.0, drill="friday")
    table = Table("eu", 9, "ab" * 32, (here, everywhere), {"worker-0": 7}, 3, (drill,))
    data = encode(GlobalSaid(global_part(table), 0, "fedcba9876543210", bytes(64)))
    assert data.count(b"\nshut ") == 1
    for kept in (b"alpen", b"ex-5", b"ex-6", b"friday", b"worker", b"abab"):
        assert kept not in data


def test_the_list_is_closed() -> None:
    """Whoever adds a type here adds it to these tests, and says what may cross in the table of the module."""
    assert list(crossing._CODECS) == TYPES
    for kind in TYPES:
        assert f"`{kind.__name__}`" in crossing.__doc__


# The source tree

SOURCE = Path(firedoor.__file__).parent
NETWORK = {
    "aiohttp", "aiosmtplib", "apprise", "boto3", "botocore", "ftplib", "grpc", "http.client", "httpx", "hvac", "imaplib",
    "nats", "openai", "paramiko", "poplib", "psycopg", "redis", "requests", "smtplib", "socket", "socketserver",
    "sqlalchemy", "ssl", "telnetlib", "urllib.request", "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
OPENERS = {"create_connection", "open_connection", "open_unix_connection", "create_datagram_endpoint", "sock_connect"}
MAY_OPEN = [
    ("bus/witness.py", {"aiohttp"}, "other regions, with messages of core/crossing.py"),
    ("bus/timestamp.py", {"aiohttp"}, "the time-stamp authority that the plan declares, with one hash"),
    ("bus/nudge.py", {"socket"}, "a Unix socket on this host"),
    ("bus/local.py", {"socket"}, "Unix sockets on this host"),
    (
        "bus/nats",
        {"nats", "ssl", "socket"},
        "its region's NATS servers; of what it says, the leaf lets GLOBAL through",
    ),
    ("upstream/", {"aiohttp", "socket"}, "model servers of its own region"),
    ("keys/roots/", {"boto3", "botocore", "hvac", "requests"}, "the vault or KMS of its own region"),
    ("config.py", {"socket"}, "nobody: it asks what this host is called"),
    ("store/", {"sqlalchemy", "psycopg", "socket"}, "the state database of its own region"),
    ("api/", {"socket"}, "nobody: it listens"),
    (
        "app/outbox.py",
        {"aiohttp"},
        "other systems that the plan declares with their jurisdiction, with bodies of core/incident/hooks.py",
    ),
    ("app/", {"socket", "aiohttp"}, "its own region: it listens, and asks its model servers whether they are up"),
    ("cli/", {"socket", "http.client"}, "a Unix socket on this host"),
    ("client/", {"openai", "httpx"}, "runs in the shop's server and calls its region's gateway"),
    ("demo/", {"aiohttp", "socket", "openai", "httpx"}, "plays a shopper on this machine"),
    (
        "bench/",
        {"aiohttp", "http.client", "socket", "openai", "httpx", "nats", "redis", "sqlalchemy", "psycopg"},
        "plays shoppers, and peers of ours; fills databases of its own",
    ),
]
"""Modules, with what they import that is able to open a connection, and whom they talk to."""


@functools.cache
def nodes():
    """Every import, opening of a socket, publishing and making of a `Message`, with the module where it stands."""
    return [
        (path, node)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Attribute) and node.attr in OPENERS)
        or (isinstance(node, ast.Call) and _called(node) in {"publish", "Message"})
    ]


def network_imports():
    for path, node in nodes():
        found = set()
        if isinstance(node, ast.Import):
            found = {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found = {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Attribute) and node.attr in OPENERS:
            found = {"socket"}
        for library in NETWORK:
            if any(name == library or name.startswith(f"{library}.") for name in found):
                yield path.relative_to(SOURCE).as_posix(), library


def test_only_declared_modules_can_open_connections() -> None:
    undeclared = {
        (module, library)
        for module, library in network_imports()
        if not any(
            library in libraries and (module == place or (not place.endswith(".py") and module.startswith(place)))
            for place, libraries, _ in MAY_OPEN
        )
    }
    assert not undeclared, "say in MAY_OPEN whom these talk to; another region only hears core/crossing.py"


def test_on_the_topic_of_all_regions_only_encoded_messages_are_published() -> None:
    """`topics.GLOBAL` is published in one place, and what goes there came out of `crossing.encode`."""
    published = []
    for path, node in nodes():
        publishes = isinstance(node, ast.Call) and _called(node) == "publish" and node.args
        if publishes and "GLOBAL" in ast.unparse(node.args[0]):
            published.append((path.relative_to(SOURCE).as_posix(), ast.unparse(node.args[1])))
    assert published == [("control/announcer.py", "everywhere")]
    source = (SOURCE / "control/announcer.py").read_text()
    assert "everywhere = self._global(table) if self._home and self._sure() else None" in source
    assert "return encode(" in source.partition("def _global(")[2].partition("\n    def ")[0]


def test_the_one_module_that_talks_to_other_regions_sends_only_messages() -> None:
    tree = ast.parse((SOURCE / "bus/witness.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    verbs = {
        "request",
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "head",
        "options",
        "ws_connect",
        "send",
        "write",
        *OPENERS,
    }
    sends = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in verbs and not _is_lookup(c)]
    assert [ast.unparse(c.func) for c in sends] == ["self._open().post"]
    assert {k.arg: ast.unparse(k.value) for k in sends[0].keywords}["data"] == "body"
    posts = [c for c in calls if ast.unparse(c.func) == "self._post"]
    assert [[ast.unparse(a) for a in c.args] for c in posts] == [["body"]]
    bodies = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "body" and isinstance(n.ctx, ast.Store)]
    made = [n for n in ast.walk(tree) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "body"]
    assert len(bodies) == 1
    assert [ast.unparse(n.value.func) for n in made] == ["encode"]
    assert "firedoor.core.crossing.encode" in _imported(tree)


def test_other_systems_are_sent_only_messages_of_the_closed_shape() -> None:
    """Of `app/outbox.py` only bodies leave that waited; what waits is made in core/incident/hooks.py alone."""
    tree = ast.parse((SOURCE / "app/outbox.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    verbs = {"request", "get", "post", "put", "patch", "delete", "head", "options", "ws_connect"}
    sends = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in verbs]
    assert [ast.unparse(c.func) for c in sends] == ["session.post"]
    assert {k.arg: ast.unparse(k.value) for k in sends[0].keywords}["data"] == "message.body"
    known = "firedoor.core.incident.hooks.Message"
    made = {
        path.relative_to(SOURCE).as_posix()
        for path, node in nodes()
        if isinstance(node, ast.Call)
        and _called(node) == "Message"
        and (path.name == "hooks.py" or known in _imported(ast.parse(path.read_text())))
    }
    assert made == {"core/incident/hooks.py", "store/incident_messages.py"}  # the store gives back what it kept


def test_the_witness_answers_only_with_messages() -> None:
    tree = ast.parse((SOURCE / "api/witness.py").read_text())
    answers = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith("Response")]
    contents = [ast.unparse(c.args[0]) for c in answers if c.args]
    assert contents == ["encode(answer)", "encode(answer)"]
    assert not [k for c in answers for k in c.keywords if k.arg in {"content", "background"}]
    assert "firedoor.core.crossing.encode" in _imported(tree)


def _called(call: ast.Call) -> str:
    """The last word of what is called: `publish` of ``bus.publish(...)``."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _is_lookup(call: ast.Call) -> bool:
    """`.get` of a mapping, which is no request."""
    return ast.unparse(call.func) in {"self._known.get", "response.headers.get"}


def _imported(tree: ast.Module) -> set[str]:
    return {f"{n.module}.{name.name}" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for name in n.names}
