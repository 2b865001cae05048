import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from firedoor.core.following import LAST, Belief, absorbed_on, remember, remember_global, resume, take, take_global
from firedoor.core.switches import MAX_SWITCHES, GlobalTable, Scope, Switch, Table
from firedoor.core.switchtable import Said
from firedoor.errors import TableRefused
from tests.core.switching import LOADED, Control, opening

X, Y, ALL = Scope("eu", "s", "chat"), Scope("eu", "s", "faq", "m1"), Scope("*", "s")


def shut(scope, version, **more):
    return Switch(scope, "leak", 1.0, version=version, **more)


def table(version, *switches, region="eu"):
    return Table(region, version, "p", switches)


def follow(*said, belief=None):
    for one in said:
        belief = take(belief or Belief(), one, LOADED, "eu")
    return belief


def refusal(call):
    with pytest.raises(TableRefused) as refused:
        call()
    return refused.value.code


def scopes(belief):
    return {s.scope for s in belief.shown({}).table.shut}


# Order


@pytest.mark.parametrize(
    ("version", "beat", "code"),
    [
        (7, 3, "again"),
        (7, 2, "older"),
        (7, 0, "older"),
        (6, 99, "older"),
        (0, 0, "older"),
        (7, -1, "malformed"),
        (-1, 5, "malformed"),
        (LAST + 1, 0, "malformed"),
        (8, LAST + 1, "malformed"),
    ],
)
def test_what_does_not_follow_is_refused(version, beat, code):
    belief = follow(Said(table(7, shut(X, 7)), 3))
    switches = (shut(X, 7),) if version == 7 else ()
    assert refusal(lambda: follow(Said(table(version, *switches), beat), belief=belief)) == code


@pytest.mark.parametrize(("version", "beat"), [(7, 4), (7, LAST), (8, 0), (LAST, 0)])
def test_what_follows_is_taken(version, beat):
    belief = follow(Said(table(7), 3), Said(table(version), beat))
    assert (belief.version, belief.beat) == (version, beat)


@pytest.mark.parametrize("beat", [2, 3, 4])
def test_something_else_under_the_same_version_is_a_split(beat):
    belief = follow(Said(table(7, shut(X, 7)), 3))
    assert refusal(lambda: follow(Said(table(7), beat), belief=belief)) == "split"


def test_another_regions_table_is_refused():
    assert refusal(lambda: follow(Said(table(7, region="us"), 3))) == "other_region"


def test_nothing_below_what_an_earlier_process_showed_is_taken():
    belief = Belief(floor=9)
    assert belief.version == 9
    assert refusal(lambda: follow(Said(table(8), 0), belief=belief)) == "older"
    assert follow(Said(table(9), 0), belief=belief).version == 9


@pytest.mark.parametrize(
    "bad",
    [
        Switch(Scope("eu", "s" * 252), "leak", 1.0, version=3),
        shut(X, 3, exchange="e" * 65),
        shut(X, 3, incident="i" * 65),
        shut(X, 3, incident="not one"),
        shut(X, 3, keys=("k" * 16,)),
        shut(X, 3, keys=("a" * 16,) * 3),
        Switch(Scope("eu", "Shop"), "leak", 1.0, version=3),
        Switch(Scope("eu"), "leak", -1.0, version=3),
        Switch(Scope("eu"), "leak", 1e300, version=3),
        shut(X, LAST + 1),
        shut(X, -1),
    ],
)
def test_a_switch_that_a_host_could_not_keep_is_refused(bad):
    assert refusal(lambda: follow(Said(table(7, bad), 0))) == "malformed"


def test_a_switch_of_the_longest_names_is_taken():
    n = "n" * 63
    longest = Switch(Scope(n, n, n, n), "leak", 1.0, ("a" * 16,) * 2, "e" * 64, "i" * 64, LAST, "d" * 63)
    assert scopes(follow(Said(table(7, longest), 0))) == {longest.scope}


# Openings


def test_what_two_people_opened_is_open():
    belief = follow(Said(table(7, shut(X, 5), shut(Y, 7)), 0), Said(table(8, shut(Y, 7)), 0, (opening(X, 5),)))
    assert (scopes(belief), belief.kept) == ({Y}, ())


NOT_PROVEN = {
    "nothing": (),
    "another scope": (opening(Y, 5),),
    "a wider scope": (opening(Scope("eu", "s"), 5),),
    "an earlier shut": (opening(X, 4),),
    "a shut that is still to come": (opening(X, 9),),
    "one person": (opening(X, 5, by=("ana",)),),
    "one person twice": (opening(X, 5, by=("ana", "ana")),),
    "one key under two names": (opening(X, 5, by=("ana", "twin")),),
    "a person without the role": (opening(X, 5, by=("ana", "cem")),),
    "a second signature of another key": (opening(X, 5, keys=("ana", "cem")),),
    "a first signature of another key": (opening(X, 5, keys=("cem", "ben")),),
    "another region's request": (opening(X, 5, region="us"),),
    "a request to shut": (opening(X, 5, kind="shut"),),
    "one person each for two": (opening(X, 5, by=("ana",)), opening(X, 5, by=("ben",))),
}


@pytest.mark.parametrize("why", NOT_PROVEN)
def test_what_is_gone_without_proof_stays_shut(why):
    before = Said(table(7, shut(X, 5), shut(Y, 7)), 0)
    belief = follow(before, Said(table(8, shut(Y, 7)), 0, NOT_PROVEN[why]))
    assert scopes(belief) == {X, Y}
    assert belief.kept == (shut(X, 5),)
    assert scopes(follow(Said(table(9, shut(Y, 7)), 0), belief=belief)) == {X, Y}, "nor does time open it"


def test_a_later_opening_of_the_same_scope_opens_what_this_host_saw_earlier():
    belief = follow(Said(table(7, shut(X, 5)), 0), Said(table(20), 0, (opening(X, 12),)))
    assert scopes(belief) == set()


def test_an_old_opening_does_not_open_a_new_shut_even_if_control_speaks_of_the_old_one():
    """Control is put back to before the opening, and the opening is played again."""
    first = opening(X, 5)
    belief = follow(Said(table(5, shut(X, 5)), 0), Said(table(6), 0, (first,)), Said(table(8, shut(X, 8)), 0))
    belief = follow(Said(table(20, shut(X, 5)), 0), belief=belief)
    assert shut(X, 8) in belief.kept, "holding the earlier shut is not holding the later one"
    belief = follow(Said(table(21), 0, (first,)), belief=belief)
    assert scopes(belief) == {X}
    belief = follow(Said(table(22), 0, (first, opening(X, 8))), belief=belief)
    assert scopes(belief) == set()


def test_a_kept_switch_that_control_takes_up_again_is_kept_no_more():
    belief = follow(Said(table(7, shut(X, 5)), 0), Said(table(8), 0), Said(table(9, shut(X, 5)), 0))
    assert (scopes(belief), belief.kept) == ({X}, ())


def test_more_than_a_table_holds_shuts_the_region():
    many = [shut(Scope("eu", f"s{i}"), i) for i in range(MAX_SWITCHES)]
    belief = follow(Said(table(100, *many), 0), Said(table(101, shut(X, 101)), 0))
    assert len(belief.kept) == MAX_SWITCHES
    belief = follow(Said(table(102), 0), belief=belief)
    assert belief.kept == (shut(Scope("eu"), 101),)
    everywhere = shut(Scope("*", "s0"), 103)  # what holds in all regions must not become less
    belief = follow(Said(table(103, everywhere, *many), 0), Said(table(104), 0), belief=Belief())
    assert [s.scope for s in belief.kept] == [Scope("*")]


# What was known before


def test_what_is_remembered_stays_shut_until_it_is_proven_open():
    belief = remember(Belief(), [shut(X, 5), shut(Y, 6)], "eu")
    assert belief.shown({}) is None
    belief = follow(Said(table(9, shut(Y, 6)), 0), belief=belief)
    assert scopes(belief) == {X, Y}
    assert remember(belief, [shut(X, 5), shut(Y, 6)], "eu") is belief
    assert remember(belief, [shut(Y, 8)], "eu").kept == (shut(X, 5), shut(Y, 8))
    assert scopes(follow(Said(table(10), 0, (opening(X, 5), opening(Y, 6))), belief=belief)) == set()


def test_what_an_earlier_process_showed_is_not_taken_back():
    belief = follow(Said(table(7, shut(X, 5)), 3))
    assert resume(belief, table(6, shut(Y, 6)), "eu") == belief, "an older page was only lost on its way to the disk"
    belief = resume(belief, structs.replace(table(9, shut(X, 5), shut(Y, 9)), cache_epoch=4), "eu")
    shown = belief.shown({}).table
    assert (shown.version, shown.cache_epoch, {s.scope for s in shown.shut}) == (9, 4, {X, Y})
    assert refusal(lambda: follow(Said(table(8), 0), belief=belief)) == "older"
    belief = follow(Said(structs.replace(table(9, shut(X, 5), shut(Y, 9)), cache_epoch=4), 0), belief=belief)
    assert belief.kept == ()
    belief = follow(Said(structs.replace(table(10), cache_epoch=6), 0), belief=belief)
    assert belief.shown({}).table.cache_epoch == 6


def everywhere(version, *switches, home="eu"):
    return GlobalTable(home, version, switches)


def test_global_tables_follow_in_order():
    belief = take_global(Belief(), everywhere(7, shut(ALL, 3)), 4, "eu")
    assert refusal(lambda: take_global(belief, everywhere(7, shut(ALL, 3)), 4, "eu")) == "again"
    assert refusal(lambda: take_global(belief, everywhere(7, shut(ALL, 3)), 3, "eu")) == "older"
    assert refusal(lambda: take_global(belief, everywhere(6), 9, "eu")) == "older"
    assert refusal(lambda: take_global(belief, everywhere(7), 5, "eu")) == "split"
    assert refusal(lambda: take_global(belief, everywhere(8, home="us"), 0, "eu")) == "other_region"
    assert refusal(lambda: take_global(belief, everywhere(8), 0, None)) == "other_region"
    assert take_global(belief, everywhere(8), 0, "eu").everywhere == everywhere(8)


def test_a_remembered_global_table_gives_way_to_its_own_version_and_to_no_older_one():
    belief = take_global(Belief(), everywhere(7), 4, "eu")
    assert remember_global(belief, [everywhere(7)], "eu", "us", 7) == belief
    belief = remember_global(belief, [everywhere(9, shut(ALL, 9))], "eu", "us", 9)
    assert belief.everywhere.shut == (shut(ALL, 9),)
    assert refusal(lambda: take_global(belief, everywhere(7), 5, "eu")) == "older"
    assert refusal(lambda: take_global(belief, everywhere(8), 5, "eu")) == "split"
    assert take_global(belief, everywhere(9), 0, "eu").everywhere.shut == ()


@pytest.mark.parametrize("home", [None, "us"])
def test_without_the_region_that_kept_it_a_global_shut_holds_here_until_it_is_opened_here(home):
    belief = remember_global(Belief(), [everywhere(900, shut(ALL, 800))], home, "eu", 900)
    assert belief.everywhere is None
    assert belief.kept == (shut(Scope("eu", "s"), 0),)
    belief = follow(Said(table(2), 0), belief=belief)
    assert scopes(belief) == {Scope("eu", "s")}
    assert scopes(follow(Said(table(3), 0, (opening(Scope("eu", "s"), 0),)), belief=belief)) == set()


def test_more_global_switches_than_a_table_holds_shut_all():
    tables = [everywhere(1, *(shut(Scope("*", f"{n}-{i}"), 1) for i in range(60))) for n in "ab"]
    belief = remember_global(Belief(), tables, "eu", "eu", 1)
    assert [s.scope for s in belief.everywhere.shut] == [Scope("*")]


@pytest.mark.parametrize(
    ("host", "beside", "expected"),
    [
        (None, False, {"w0": 4}),
        ("a", False, {"w0": 7, "w1": 8}),
        ("a", True, {"w0": 7, "w1": 8}),
        ("b", True, {"w0": 9}),
        ("b", False, {"w0": 9}),
        ("c", False, {}),
        ("c", True, {"w0": 4}),
    ],
)
def test_a_worker_hears_only_of_its_own_hosts_journals(host, beside, expected):
    absorbed = {"w0": 4, "a/w0": 7, "a/w1": 8, "b/w0": 9}
    assert absorbed_on(Table("eu", 1, "p", (), absorbed), host, beside_control=beside) == expected


# All of it, in any order

PLACES = [X, Y, ALL]


class Region(RuleBasedStateMachine):
    """Two hosts, an honest control that is restarted and put back, one that is not honest, and a bus that does all.

    The model is, per host, the newest shut that it ever showed of each scope, and all that two people opened.
    """

    def __init__(self):
        super().__init__()
        self.control = Control()
        self.sent = []
        self.snapshots = [self.control.snapshot()]
        self.beliefs = {"a": Belief(), "b": Belief()}
        self.refused = {"a": "", "b": ""}
        self.known = {"a": {}, "b": {}}

    def deliver(self, host, said):
        before = self.beliefs[host]
        try:
            after = take(before, said, LOADED, "eu")
        except TableRefused as error:
            self.refused[host] = error.code if error.code != "again" else self.refused[host]
            return
        self.refused[host] = ""
        assert (after.version, after.beat) > (before.version, before.beat)
        self.beliefs[host] = after
        showing = {}
        for switch in after.shown({}).table.shut:
            showing[switch.scope] = max(switch.version, showing.get(switch.scope, 0))
        known = self.known[host]
        for scope, version in list(known.items()):
            if showing.get(scope, -1) < version:
                proofs = {int(p.act.args["of"]) for p in said.opened if p.act.scope == scope}
                opened = {of for s, of in self.control.openings if s == scope and of >= version}
                assert opened & proofs, "opened, or forgotten, without two people"
                del known[scope]
        known.update(showing)

    @rule(scope=st.sampled_from(PLACES))
    def shuts(self, scope):
        self.control.shut(scope)

    @precondition(lambda self: self.control.table.shut)
    @rule(at=st.integers(0, 9))
    def opens(self, at):
        self.control.open(self.control.table.shut[at % len(self.control.table.shut)].scope)

    @rule()
    def restarts(self):
        self.control.restart()

    @rule()
    def is_saved(self):
        self.snapshots.append(self.control.snapshot())

    @rule(at=st.integers(0, 9))
    def is_put_back(self, at):
        self.control.restore(self.snapshots[at % len(self.snapshots)])

    @rule(to=st.sets(st.sampled_from(["a", "b"])))
    def says(self, to):
        said = self.control.said()
        self.sent.append(said)
        for host in sorted(to):
            self.deliver(host, said)

    @precondition(lambda self: self.sent)
    @rule(at=st.integers(0, 99), host=st.sampled_from(["a", "b"]))
    def something_comes_late_or_again(self, at, host):
        self.deliver(host, self.sent[at % len(self.sent)])

    @rule(
        host=st.sampled_from(["a", "b"]),
        left=st.sets(st.sampled_from(PLACES)),
        above=st.integers(0, 3),
        scope=st.sampled_from(PLACES),
        of=st.integers(0, 30),
        by=st.sampled_from([("ana",), ("ana", "twin"), ("ana", "cem")]),
    )
    def control_is_taken_over(self, host, left, above, scope, of, by):
        """It has the region's key, every opening that was ever made, and one person."""
        now = self.beliefs[host].table or self.control.table
        shut = tuple(s for s in now.shut if s.scope in left)
        proofs = (*(p for said in self.sent for p in said.opened), opening(scope, of, by=by))
        self.deliver(host, Said(structs.replace(now, version=now.version + above, shut=shut), 10, proofs))

    @rule(host=st.sampled_from(["a", "b"]))
    def control_hears(self, host):
        belief = self.beliefs[host]
        kept = belief.kept
        if self.refused[host] in ("older", "split") and belief.table is not None:
            kept = remember(Belief(kept=kept), belief.table.shut, "eu").kept
        self.control.hear(belief.version, self.refused[host], kept)

    @invariant()
    def what_was_shut_is_shown(self):
        for host, known in self.known.items():
            if known:
                assert scopes(self.beliefs[host]) >= known.keys()

    def teardown(self):
        """Once control and hosts hear each other again, all show the same, and nothing is open that any of them shut."""
        shut = {scope for known in self.known.values() for scope in known}
        for _ in range(6):
            said = self.control.said()
            for host in self.beliefs:
                self.deliver(host, said)
                self.control_hears(host)
        said = self.control.said()
        for host, belief in self.beliefs.items():
            self.deliver(host, said)
            assert self.beliefs[host].table == self.control.table
            assert self.beliefs[host].kept == ()
            assert belief.table == self.control.table
        opened = {scope for scope, _ in self.control.openings}
        assert {s.scope for s in self.control.table.shut} >= shut - opened


Region.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRegion = Region.TestCase
