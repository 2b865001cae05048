"""Protected documents on disk: no clear text, which grams are kept, and what a crash, damage or a rival leaves."""

import os
import random
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.leak.documents import DocumentWatch
from firedoor.core.detect.leak.grams import GRAM, DocumentRef, GramFolding, GramKey, grams_of
from firedoor.errors import ActRefused, KeyUnusable, SetupError
from firedoor.keys.derive import SealingBox
from firedoor.store import documentlist, documents, fingerprints
from firedoor.store.boilerplate import sort_out
from firedoor.store.documentlist import LIST_NAME
from firedoor.store.documents import DocumentStore
from firedoor.store.fingerprints import PAGE, Index, MappedFingerprints, Printed

BOX = SealingBox("eu", bytes(range(32)))
FOLDING = GramFolding()
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def invented(words, seed):
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(LETTERS, k=rng.randint(2, 9))) for _ in range(words))


PRICES, MINUTES, PLANS = (invented(120, seed) for seed in (1, 2, 3))
SHARED = invented(20, 4)


@pytest.fixture
def store(tmp_path):
    return DocumentStore(tmp_path / "documents", BOX)


def found(store, text, granted=frozenset()):
    """Ids of the documents found in `text`."""
    mapped = store.open()
    if mapped is None:
        return None
    watch = DocumentWatch([mapped], FOLDING, granted=granted)
    return {hit.value_id for hit in watch.feed(text) + watch.end()}


def files(store):
    folder = store._folder
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_no_documents(store):
    assert store.list() == ()
    assert store.open() is None
    assert not store.changed()
    with pytest.raises(ActRefused, match="no protected document"):
        store.remove("doc-0")
    assert store.open() is None


def test_a_document_is_known_by_its_stretches_and_kept_without_its_text(store):
    (prices, minutes) = store.add("supplier_prices", [("Prices 2026", PRICES), ("Minutes", MINUTES)])
    assert store.list() == (prices, minutes)
    assert (prices.set, prices.name) == ("supplier_prices", "Prices 2026")
    assert prices.characters == len(PRICES.replace(" ", ""))
    assert prices.fingerprints == prices.characters - GRAM + 1
    assert found(store, PRICES[100:200]) == {prices.id}
    assert found(store, MINUTES[300:400].upper()) == {minutes.id}
    assert found(store, PLANS) == set()
    assert found(store, PRICES, frozenset({"supplier_prices"})) == set()
    mapped = store.open()
    assert len(mapped) == prices.fingerprints + minutes.fingerprints
    everything = b"".join(files(store).values())
    for word in PRICES.split():
        assert len(word) < 6 or word.encode() not in everything
    assert b"Minutes" not in everything
    assert store._folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in store._folder.iterdir())


def test_a_text_is_kept_once_in_each_set(store):
    (first,) = store.add("prices", [("a", PRICES)])
    again = store.add("prices", [("b", PRICES.upper()), ("c", PRICES), ("d", MINUTES), ("e", MINUTES)])
    assert [one.id for one in again] == [first.id, first.id, again[2].id, again[2].id]
    assert [one.name for one in again[1:]] == ["a", "d", "d"]
    (other,) = store.add("board", [("f", PRICES)])
    assert len(store.list()) == 3
    assert found(store, PRICES[:200]) == {first.id}
    assert found(store, PRICES[:200], frozenset({"board"})) == set()  # whoever may receive one of both may receive it
    assert found(store, PRICES[:200], frozenset({"prices"})) == set()
    assert found(store, PRICES[:200], frozenset({"staff"})) == {first.id}
    store.remove(first.id)
    assert found(store, PRICES[:200]) == {other.id}
    assert found(store, PRICES[:200], frozenset({"prices"})) == {other.id}


def test_what_stands_in_two_documents_is_boilerplate(store):
    store.add("prices", [("a", PRICES + SHARED), ("b", MINUTES)])
    assert found(store, SHARED) != set()
    store.add("prices", [("c", SHARED + PLANS)])
    assert found(store, SHARED) == set()
    ids = [one.id for one in store.list()]
    assert [found(store, text) for text in (PRICES, MINUTES, PLANS)] == [{one} for one in ids]
    lost = len(SHARED.replace(" ", "")) - GRAM + 1
    assert [one.characters - GRAM + 1 - one.fingerprints for one in store.list()] == [lost, 0, lost]
    store.remove(ids[2])
    assert found(store, SHARED) == {ids[0]}


def test_versions_of_one_document_are_a_family(store):
    words = PRICES.split()
    versions = []
    for number in range(4):  # each changes some words, the last shares little with the first
        words = [f"new{number}{at}word" if at % 9 == number else word for at, word in enumerate(words)]
        versions.append(" ".join(words))
    added = store.add("prices", [(f"v{number}", text) for number, text in enumerate(versions)])
    store.add("board", [("minutes", MINUTES)])
    for document, text in zip(added, versions, strict=True):
        assert document.fingerprints == document.characters - GRAM + 1
        assert found(store, text[200:400]) <= {one.id for one in added} != set()


def test_what_is_published_is_not_protected(store):
    (prices,) = store.add("prices", [("a", PRICES + " " + SHARED)])
    public = store.add_public("faq", ["Welcome!", SHARED.upper(), invented(30, 9)])
    assert found(store, SHARED) == set()
    assert found(store, PRICES) == {prices.id}
    assert store.list_public() == (public,)
    assert store.list()[0].fingerprints < prices.fingerprints
    replaced = store.add_public("faq", ["Now something else."])
    assert store.list_public() == (replaced,)
    assert found(store, SHARED) == {prices.id}
    assert store.remove(replaced.id) == replaced
    assert store.list_public() == ()
    store.remove(prices.id)
    store.add_public("faq", [SHARED])
    assert store.open() is None
    assert store.add("prices", [("a", PRICES + " " + SHARED)])[0].fingerprints < prices.fingerprints


def test_nothing_is_protected_that_cannot_be_known(store):
    for text, code in (("", "document_too_short"), ("Only 30 letters: " + "x" * 16, "document_too_short")):
        with pytest.raises(ActRefused) as refused:
            store.add("prices", [("ok", PRICES), ("short", text)])
        assert refused.value.code == code
        assert refused.value.remedy
        assert "xxx" not in str(refused.value)
    for name in ("", "n" * 201):
        with pytest.raises(ActRefused, match="1 to 200"):
            store.add("prices", [(name, PRICES)])
        with pytest.raises(ActRefused, match="1 to 200"):
            store.add_public(name, [PRICES])
    assert store.open() is None
    store.add("prices", [("a", PRICES)])
    before = files(store)
    with pytest.raises(ActRefused, match="published") as refused:
        store.add_public("catalogue", [PRICES])
    assert refused.value.code == "document_not_its_own"
    with pytest.raises(ActRefused, match=r"a \(doc-.*other documents"):
        thirds = PRICES[:300], PRICES[270:560], PRICES[530:]
        store.add("board", [(f"b{at}", invented(120, 20 + at) + third) for at, third in enumerate(thirds)])
    assert len(store.list()) == 1
    assert found(store, PRICES)
    store.rebuild()
    assert files(store).keys() - before.keys() == {f"index.{store._load().generation.hex()}"}


def test_there_are_bounds(store, monkeypatch):
    store.add("prices", [("a", PRICES)])
    store.add_public("faq", [SHARED])
    for name, limit, what in (
        ("MAX_DOCUMENTS", 1, "1 documents"),
        ("MAX_FINGERPRINTS", 1000, "fingerprints of documents"),
        ("MAX_CHARACTERS", 100, "more than 100 characters"),
        ("MAX_SETS", 1, "1 protected sets"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(documents, name, limit)
            with pytest.raises(ActRefused, match=what):
                store.add("board", [("b", MINUTES)])
    for limit, text in ((30, "x" * 31), (60, "x" * 61), (130, invented(40, 5)[:130])):
        with monkeypatch.context() as patch:
            patch.setattr(documents, "MAX_FINGERPRINTS", limit)
            with pytest.raises(ActRefused, match=r"published|fingerprints"):
                store.add_public("more", [text, text])
    with monkeypatch.context() as patch:
        patch.setattr(documents, "MAX_DOCUMENTS", 1)
        with pytest.raises(ActRefused, match="1 published texts"):
            store.add_public("more", [MINUTES])
    assert [one.name for one in store.list()] == ["a"]
    assert [one.name for one in store.list_public()] == ["faq"]


def test_a_reader_sees_each_change_and_keeps_what_it_has(store):
    reader = DocumentStore(store._folder, BOX)
    assert not reader.changed()
    (prices,) = store.add("prices", [("a", PRICES)])
    assert reader.changed()
    old = reader.open()
    assert not reader.changed()
    store.remove(prices.id)
    assert reader.changed()
    assert reader.open() is None
    gram = grams_of(FOLDING.marked(PRICES), "plain")[7]
    assert old.document(old.number(gram)) == DocumentRef(prices.id, "prices")  # its file is gone, its pages are not
    assert {name for name in files(store) if not name.startswith(".")} == {LIST_NAME}


def test_damage_is_an_error_and_never_nothing_protected(store):
    store.add("prices", [("a", PRICES)])
    whole = files(store)
    (index,) = (name for name in whole if name.startswith("index."))
    (prints,) = (name for name in whole if name.endswith(".grams"))
    places = [*range(200), PAGE - 1, *range(PAGE, len(whole[index]), 997), len(whole[index]) - 1]
    for place in places:
        damaged = bytearray(whole[index])
        damaged[place] ^= 1
        (store._folder / index).write_bytes(damaged)
        if damaged[place] == 1 and place < PAGE and not any(damaged[place + 1 : PAGE]):
            continue  # the zeros up to the page: nothing is read there
        with pytest.raises(KeyUnusable, match="rebuild"):
            store.open()
    for length in (0, 10, 100, PAGE, len(whole[index]) // 2, len(whole[index]) - 8, len(whole[index]) - 1):
        (store._folder / index).write_bytes(whole[index][:length])
        with pytest.raises(KeyUnusable):
            store.open()
    (store._folder / index).write_bytes(whole[index] + bytes(8))
    with pytest.raises(KeyUnusable):
        store.open()
    (store._folder / index).unlink()
    with pytest.raises(SetupError, match="not there"):
        store.open()
    store.rebuild()
    assert found(store, PRICES)
    for content in (b"", whole[prints][:-1], bytes([whole[prints][0] ^ 1]) + whole[prints][1:]):
        (store._folder / prints).write_bytes(content)
        with pytest.raises(KeyUnusable):
            store.rebuild()
    (store._folder / prints).unlink()
    with pytest.raises(KeyUnusable, match="not there any more"):
        store.add("prices", [("b", MINUTES)])
    for content in (b"", b"firedoor documents 2\n", whole[LIST_NAME][:-1]):
        (store._folder / LIST_NAME).write_bytes(content)
        with pytest.raises(KeyUnusable):
            store.open()
    (store._folder / LIST_NAME).unlink()
    for ask in (store.open, store.list, store.rebuild):
        with pytest.raises(KeyUnusable, match="not there any more"):
            ask()


def test_the_files_of_another_state_or_region_do_not_open(store, tmp_path):
    store.add("prices", [("a", PRICES)])
    old = files(store)
    store.add("prices", [("b", MINUTES)])
    (before,) = (name for name in old if name.startswith("index."))
    (now,) = (name for name in files(store) if name.startswith("index."))
    (store._folder / now).write_bytes(old[before])
    with pytest.raises(KeyUnusable):
        store.open()
    for box in (SealingBox("us", bytes(range(32))), SealingBox("eu", bytes(32))):
        with pytest.raises(KeyUnusable):
            DocumentStore(store._folder, box).open()
    with pytest.raises(KeyUnusable):
        MappedFingerprints(store._folder / now, bytes(32), store._load().generation)


def test_folding_in_another_way_shows(monkeypatch):
    now = documentlist.folding_now.__wrapped__()
    monkeypatch.setattr(documentlist.GramFolding, "plain", lambda _, text: FOLDING.marked(text))
    assert documentlist.folding_now.__wrapped__() != now


def test_fingerprints_of_another_folding_are_refused(store, monkeypatch):
    (prices,) = store.add("prices", [("a", PRICES)])
    monkeypatch.setattr(documentlist, "folding_now", lambda: b"another")
    for ask in (store.open, lambda: store.add("prices", [("b", MINUTES)]), lambda: store.add_public("faq", [SHARED])):
        with pytest.raises(SetupError, match="another way"):
            ask()
    assert store.list() == (prices,)
    store.remove(prices.id)
    assert store.add("prices", [("a", PRICES)])
    assert store.open() is not None


def in_a_child(act):
    """Run `act` in a process of its own; how that ended."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # whatever it is must not run the tests again
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying_at(step, act):
    """`act`, killed when it begins its `step`-th write, or between write and rename of it."""

    def run():
        left = step
        real_open, real_sync = os.open, os.fsync

        def count(real):
            def counted(*arguments, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            return counted

        os.open, os.fsync = count(real_open), count(real_sync)
        act()

    return run


@pytest.mark.parametrize("begun", [False, True])
def test_kill_9_leaves_the_old_state_or_the_new(tmp_path, begun):
    survived = 0
    for step in range(60):
        store = DocumentStore(tmp_path / str(step), BOX)
        if begun:
            (prices,) = store.add("prices", [("a", PRICES)])
        status = in_a_child(dying_at(step, lambda: store.add("board", [("b", MINUTES), ("c", PLANS)])))  # noqa: B023
        names = [one.name for one in store.list()]
        old, new = (["a"], ["a", "b", "c"]) if begun else ([], ["b", "c"])
        assert names in (old, new)
        assert bool(found(store, MINUTES)) is (names == new)
        if begun:
            assert found(store, PRICES) == {prices.id}
        assert status in (0, -signal.SIGKILL)
        survived += status == 0
        store.add("board", [("b", MINUTES), ("c", PLANS)])
        assert [one.name for one in store.list()] == new
        assert found(store, MINUTES + PLANS)
        kept = store._load().files() | {f".{LIST_NAME}.lock"}
        assert files(store).keys() == kept  # nothing is left of the one that died
        if survived:
            break
    assert survived
    assert step > 10


def test_kill_9_in_a_removal(tmp_path):
    for step in range(30):
        store = DocumentStore(tmp_path / str(step), BOX)
        prices, minutes = store.add("prices", [("a", PRICES), ("b", MINUTES)])
        status = in_a_child(dying_at(step, lambda: store.remove(prices.id)))  # noqa: B023
        left = [one.id for one in store.list()]
        assert left in ([prices.id, minutes.id], [minutes.id])
        assert found(store, MINUTES) == {minutes.id}
        assert found(store, PRICES) == ({prices.id} & set(left))
        if status == 0:
            break
    assert left == [minutes.id]


def test_two_processes_add_at_the_same_time(store):
    children = []
    for who in range(2):
        child = os.fork()
        if child == 0:
            try:
                mine = DocumentStore(store._folder, BOX)
                for number in range(3):
                    mine.add("prices", [(f"{who}.{number}", invented(60, 10 * who + number + 50))])
                os._exit(0)
            except BaseException:  # noqa: BLE001
                os._exit(1)
        children.append(child)
    opened = 0
    while children:
        mapped = store.open()  # a reader never sees a part
        opened += mapped is not None
        done, status = os.waitpid(children[0], os.WNOHANG)
        if done:
            assert status == 0
            children.pop(0)
    assert sorted(one.name for one in store.list()) == [f"{who}.{number}" for who in range(2) for number in range(3)]
    for one in store.list():
        who, number = map(int, one.name.split("."))
        assert found(store, invented(60, 10 * who + number + 50)) == {one.id}


SECRET = bytes(range(32))
GENERATION = bytes(16)


def mapped_of(tmp_path_factory, texts):
    """An index of grams of `texts`, the n-th with number n % 3."""
    key = GramKey.derive(SECRET)
    refs = [DocumentRef(f"d{n}", "s") for n in range(3)]
    rows = sorted((key.hash(gram), key.identity(gram), n % 3) for n, gram in enumerate(texts))
    hashes, identities, numbers = zip(*rows, strict=True)
    printed = Printed(np.array(hashes, np.uint64), np.array(identities, np.uint32))
    path = tmp_path_factory.mktemp("index") / "index"
    path.write_bytes(fingerprints.encode(Index(printed, np.array(numbers, np.uint32), refs), SECRET, GENERATION))
    return MappedFingerprints(path, SECRET, GENERATION)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 100_000), min_size=1, max_size=300), st.floats(0.6, 1.5))
def test_every_gram_is_found_and_no_other(tmp_path_factory, numbers, room):
    texts = [b"%020d" % number for number in sorted(numbers)]
    crowded, fingerprints.SLOTS_PER_GRAM = fingerprints.SLOTS_PER_GRAM, room  # rows that go on past the last slot
    try:
        mapped = mapped_of(tmp_path_factory, texts)
    finally:
        fingerprints.SLOTS_PER_GRAM = crowded
    assert [mapped.number(gram) for gram in texts] == [n % 3 for n in range(len(texts))]
    assert mapped.find(texts) == [(n, n % 3) for n in range(len(texts))]
    others = [b"%020d" % number for number in range(100_001, 100_301)]
    assert mapped.find(others) == []
    assert mapped.find([others[0], texts[-1], others[1]]) == [(1, (len(texts) - 1) % 3)]


def test_the_file_tells_nothing_without_the_key(tmp_path):
    key, guess = GramKey.derive(SECRET), GramKey.derive(bytes(32))
    printed = fingerprints.fingerprint(FOLDING.plain(PRICES), key)
    other = fingerprints.fingerprint(FOLDING.plain(PRICES), guess)
    assert not set(printed.hashes.tolist()) & set(other.hashes.tolist())
    assert len(set(printed.identities.tolist()) & set(other.identities.tolist())) < 3
    refs = [DocumentRef("doc-1", "prices")]
    index = Index(printed, np.zeros(len(printed.hashes), np.uint32), refs)
    assert fingerprints.encode(index, SECRET, GENERATION) == fingerprints.encode(index, SECRET, GENERATION)
    empty = Index(Printed(printed.hashes[:0], printed.identities[:0]), np.zeros(0, np.uint32), refs)
    (tmp_path / "index").write_bytes(fingerprints.encode(empty, SECRET, GENERATION))
    mapped = MappedFingerprints(tmp_path / "index", SECRET, GENERATION)
    assert len(mapped) == 0
    assert mapped.find(grams_of(FOLDING.marked(PRICES), "plain")) == []


def printed_of(numbers):
    hashes = np.array(sorted(numbers), dtype=np.uint64)
    return Printed(hashes, hashes.astype(np.uint32))


def kept_of(sets, public=()):
    """For each kept hash the (set, other sets) that it counts for; what each document keeps."""
    refs = [DocumentRef(f"d{n}", name) for n, (name, _) in enumerate(sets)]
    result = sort_out(refs, [printed_of(numbers) for _, numbers in sets], np.array(sorted(public), dtype=np.uint64))
    kept = result.kept
    documents = [kept.documents[number] for number in kept.numbers.tolist()]
    assert kept.printed.identities.tolist() == kept.printed.hashes.tolist()
    return dict(zip(kept.printed.hashes.tolist(), documents, strict=True)), result.left


def test_sorting_out_boilerplate_families_and_published_texts():
    first, second, third = set(range(100)), set(range(90, 200)), {5, *range(40, 100), *range(300, 340)}
    kept, left = kept_of([("a", first), ("b", second), ("b", third)], public={0, 1, 301, 999})
    # third holds more than half of its grams in common with first; second holds a tenth of first
    assert set(kept) == (first | second | third) - set(range(90, 100)) - {0, 1, 301}
    assert left == [88, 100, 90]
    assert kept[2] == DocumentRef("d0", "a")
    assert kept[5] == kept[40] == DocumentRef("d0", "a", ("b",))
    assert kept[310] == DocumentRef("d2", "b")
    assert kept[150] == DocumentRef("d1", "b")


def test_a_half_in_common_is_no_family_and_more_is():
    assert kept_of([("a", range(20)), ("a", range(10, 40))])[1] == [10, 20]
    assert kept_of([("a", range(20)), ("a", range(9, 40))])[1] == [20, 31]
    chain = [("a", range(start, start + 10)) for start in range(0, 400, 4)]  # each with its neighbours only
    assert kept_of(chain)[1] == [10] * 100
    assert kept_of([("a", range(50)) for _ in range(200)])[1] == [50] * 200  # more than are compared with each other


def test_a_set_is_removed_at_once(store):
    texts = [("Prices", PRICES), ("Minutes", MINUTES)]
    store.add("supplier_prices", texts)
    (plans,) = store.add("plans", [("Plans", PLANS)])
    before = store._load().generation
    assert store.remove_set("nothing") == 0
    assert store._load().generation == before
    assert store.remove_set("supplier_prices") == 2
    assert store.list() == (plans,)
    assert found(store, PRICES + MINUTES + PLANS) == {plans.id}
    assert len(files(store)) == len([".lock", "list", "index", "grams"])
