"""Plans with slips are refused with every slip, its line and its path; what they must report stands in the files."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.plan.decode import MAX_PROBLEMS, decode, examine
from firedoor.core.plan.model import Limits, Loaded, MessageFallback, RulesFallback
from firedoor.core.plan.reading import MAX_BYTES, MAX_NODES
from firedoor.core.plan.schema import plan_schema
from firedoor.core.plan.shape import seconds
from firedoor.core.plan.words import Duration
from firedoor.errors import PlanInvalid

PLANS = Path(__file__).parent.parent / "vectors" / "plans"
GOOD = (PLANS / "good.yaml").read_bytes()
BROKEN = sorted(path for path in PLANS.glob("*.yaml") if path.name != "good.yaml")
EXPECT = re.compile(r"^# expect (\d+) (.+?): (.+)$", re.MULTILINE)
STARTER = (files("firedoor") / "data" / "starter-plan.yaml").read_bytes()


def problems(document: bytes) -> list[tuple[int, str, str]]:
    with pytest.raises(PlanInvalid) as caught:
        decode(document, "plan.yaml")
    assert all(problem.remedy for problem in caught.value.problems)
    return [(problem.line, problem.path, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_slip_is_reported(path):
    text = path.read_text()
    expected = [(int(line), where, message) for line, where, message in EXPECT.findall(text)]
    assert expected
    assert problems(path.read_bytes()) == expected


def test_there_are_enough_broken_plans():
    assert len(BROKEN) >= 10


def test_a_good_plan():
    loaded = decode(GOOD, "good.yaml")
    plan = loaded.plan
    assert loaded.digest == hashlib.sha256(GOOD).hexdigest()
    assert (loaded.source, loaded.document) == ("good.yaml", GOOD)
    assert plan.regions["eu"].jurisdictions == ("EU", "NO", "CH")
    support = plan.surfaces["support"]
    assert isinstance(support.fallback, MessageFallback)
    assert support.fallback.text["no"] == "Et menneske svarer."
    assert (support.deadline, support.stream_deadline, support.lease) == (20.0, 60.0, 2.5)
    assert support.limits == Limits(messages=64)
    fraud = plan.surfaces["fraud_scoring"]
    assert (fraud.deadline, fraud.lease, fraud.stream_deadline) == (0.8, 2.0, 120.0)
    assert isinstance(fraud.fallback, RulesFallback)
    assert fraud.fallback.rules[1].value == ("XX", "ZZ")
    assert plan.serves("support", "gutschein")
    assert not plan.serves("product_discovery", "gutschein")


def test_a_plan_written_as_json_is_the_same_plan():
    def spell(value):
        return str(value) if isinstance(value, Duration) else NotImplemented

    plan = decode(GOOD, "good.yaml").plan
    again = decode(msgspec.json.encode(plan, enc_hook=spell), "good.json").plan
    assert again == plan


def test_the_starter_plan_lacks_only_people():
    found = problems(STARTER)
    assert {path for _, path, _ in found} == {"people"}
    assert len(found) == 8
    examined = examine(STARTER)
    assert 'firedoor people add ana --name "Ana Example"' in examined.problems[0].remedy


def test_a_broken_section_does_not_set_off_checks_of_it():
    document = GOOD.replace(b"engine: openai", b"engine: opemai").replace(b"home: DE", b"home: GB")
    assert problems(document) == [
        (38, "models.us-chat.engine", "'opemai' is not allowed here"),
        (62, "shops.gutschein.home", "no region serves GB"),
    ]


def test_a_secret_in_the_wrong_place_is_not_repeated():
    document = GOOD.replace(b"key: ed25519:AgIC", b"key: private-hunter2-").replace(
        b"api_key_file: us-chat.key", b"api_key: hunter2"
    )
    examined = examine(document)
    assert len(examined.problems) >= 2
    assert all("hunter2" not in problem.message + problem.remedy for problem in examined.problems)


@pytest.mark.parametrize(
    ("document", "line", "message"),
    [
        (b"", 1, "empty"),
        (b"# only a comment\n", 1, "empty"),
        (b"a: b\n\xff\n", 2, "not UTF-8"),
        (b"a: b\nc: \x07\n", 2, "control character"),
        (b"x" * (MAX_BYTES + 1), 1, "larger than"),
        (b"[" * 100_000, 1, "deep"),
        (b"- " * 100_000, 1, "deep"),
        (b"a: &a [x]\nb: [*a, *a]\n", 2, "aliases"),
        (b"- a\n" * (MAX_NODES + 1), MAX_NODES, "more than"),
        (b"? [a, b]\n: c\n", 1, "a key must be text"),
        (b'a: "\\UFFFFFFFF"\n', 1, "not YAML"),
        (b"%YAML 1.1.1\n---\na: b\n", 1, "not YAML"),
        (b"a: [b\n", 2, "not YAML"),
    ],
)
def test_documents_that_are_no_plan_at_all(document, line, message):
    found = problems(document)
    assert len(found) == 1
    assert found[0][0] == line
    assert message in found[0][2]


def test_a_document_of_nothing_but_problems_has_an_end():
    found = problems(b"surfaces: {}\n" + b"".join(b"key%d: {}\n" % number for number in range(2 * MAX_PROBLEMS)))
    assert len(found) == MAX_PROBLEMS + 1
    assert "more problems" in found[0][2]


@pytest.mark.parametrize("document", [b"plan", b"[a]", b"7", b"~", b'""'])
def test_something_else_than_a_mapping(document):
    assert problems(document)[0][1:2] == ("plan",)


@pytest.mark.parametrize(
    ("text", "value"), [("250ms", 0.25), ("2s", 2.0), ("1m", 60.0), ("0.5s", 0.5), ("1.5m", 90.0), ("1440m", 86400.0)]
)
def test_durations(text, value):
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", "2", "s", "2 s", "-2s", "2w", "1e3s", "0s", "0ms", "3661d", "2s\n", "٢s", ".5s", "nans", 2, 2.0, None, True],
)
def test_no_durations(text):
    with pytest.raises(ValueError, match="must be"):
        seconds(text)


@pytest.mark.parametrize("directive", [b"", b"%YAML 1.1\n---\n", b"%YAML 1.2\n---\n"])
def test_norway_is_a_country_in_every_yaml(directive):
    loaded = decode(directive + GOOD, "plan.yaml")
    assert "NO" in loaded.plan.regions["eu"].jurisdictions
    assert "no" in loaded.plan.surfaces["support"].fallback.text


def test_the_shipped_schema_is_current():
    shipped = (files("firedoor") / "data" / "plan.schema.json").read_bytes()
    assert msgspec.json.decode(shipped) == msgspec.json.decode(msgspec.json.encode(plan_schema()))


def test_the_schema_knows_durations_and_their_defaults():
    surface = plan_schema()["$defs"]["Surface"]
    assert surface["properties"]["lease"]["default"] == "2s"
    pattern = re.compile(surface["properties"]["deadline"]["pattern"])
    assert pattern.search("250ms")
    assert not pattern.search("250")
    assert surface["additionalProperties"] is False


def outcome(document: bytes) -> Loaded | PlanInvalid:
    try:
        return decode(document, "plan.yaml")
    except PlanInvalid as invalid:
        return invalid


LINES = GOOD.splitlines(keepends=True)
PIECES = [
    b"",
    b"\n",
    b": ",
    b"- ",
    b"[",
    b"{",
    b"}",
    b"]",
    b'"',
    b"'",
    b"|",
    b">",
    b"&a ",
    b"*a",
    b"!!int ",
    b"~",
    b"\t",
    b"\x00",
]


@st.composite
def damaged(draw):
    """The good plan with pieces cut, doubled, replaced or put in."""
    document = GOOD
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(document)))
        length = draw(st.integers(0, 40))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=8) | st.sampled_from(LINES))
        document = document[:start] + piece + document[start + length :]
    return document


@given(damaged())
@settings(max_examples=120, deadline=None)
def test_damage_never_raises_anything_else(document):
    found = outcome(document)
    if isinstance(found, Loaded):
        assert found.plan.regions
        return
    # ruamel also counts a lone \r and the line breaks U+0085, U+2028 and U+2029.
    last = 2 + len(re.findall(rb"\n|\r|\xc2\x85|\xe2\x80[\xa8\xa9]", document))
    assert found.problems
    assert all(1 <= problem.line <= last for problem in found.problems)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["eu", "2s", "rules", "EU"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(["kind", "text", "eu", "models"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES, st.data())
@settings(max_examples=80, deadline=None)
def test_a_wrong_value_anywhere_never_raises_anything_else(value, data):
    tree = msgspec.json.decode(msgspec.json.encode(examine(GOOD).tree.value))
    node = tree
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not node[key] or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = value
    found = outcome(msgspec.json.encode(tree))
    assert isinstance(found, Loaded) or found.problems
