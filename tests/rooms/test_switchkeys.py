"""The key that signs switch tables: made when it is asked for, renewed, and followed by who signs and who listens."""

import asyncio
import base64
import contextlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from firedoor.app import switchkeys
from firedoor.app.regionkeys import make_region, open_region
from firedoor.app.switchkeys import SwitchSigner, home_keys, others_keys, region_keys
from firedoor.config import Home
from firedoor.core.plan.model import Loaded, Region, SwitchRules
from firedoor.core.switchtable import key_id
from firedoor.errors import KeyUnusable
from firedoor.keys.audit import audit
from firedoor.keys.epochs import rotate
from firedoor.keys.ringfile import RingFile, encode_document, read_ring

from .region import People
from .rings import Recorded


@pytest.fixture
def house(tmp_path):
    home = Home(tmp_path)
    plan = People().plan()
    regions = {n: Region(jurisdictions=("EU",), address="http://h:1", listen="127.0.0.1:1") for n in ("eu", "us")}
    plan = structs.replace(plan, regions=regions, switches=SwitchRules(home="us"))
    return home, Loaded(plan, "ab" * 32, "plan.yaml")


def made(house, region="eu"):
    home, loaded = house
    home.region(region).make()
    return make_region(home.region(region), loaded, home.root)


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def known(seed):
    return {key_id(public(seed)): public(seed)}


def test_the_key_is_made_once_in_a_ring_that_had_none(house):
    ring = made(house)
    file = RingFile(ring.folder, ring.worker())
    assert file.switch_keys() == {}
    epoch = file.current()
    seed = ring.switch_seed()
    again = open_region(house[0].region("eu"), house[1], house[0].root)
    assert again.switch_seed() == ring.switch_seed() == seed
    assert file.switch_keys() == known(seed)
    assert file.current() == epoch
    stored = (ring.folder / "ring.json").read_text()
    assert seed.hex() not in stored
    assert base64.b64encode(seed).decode() not in stored
    assert not [f for f in audit(ring.folder, "eu", ring.root, now=0.0).findings if f.level == "error"]


def test_a_renewed_key_is_the_only_one_and_survives_a_new_base_key(house):
    ring = made(house)
    old = ring.switch_seed()
    log = ring.log_seeds()
    other = open_region(house[0].region("eu"), house[1], house[0].root)
    ring.renew("switches")
    seed = ring.switch_seed()
    assert seed != old
    assert other.switch_seed() == seed, "another process follows"
    assert ring.log_seeds() == log
    rotate(ring, Recorded())
    assert other.switch_seed() == seed
    assert RingFile(ring.folder, ring.worker()).switch_keys() == known(seed)
    ring.renew("witness")
    assert ring.switch_seed() == seed


def test_a_ring_that_somebody_else_wrote_gives_no_keys(house):
    ring = made(house)
    ring.switch_seed()
    file = RingFile(ring.folder, ring.worker())
    file.switch_keys()
    state = read_ring(ring.folder, "eu").state
    theirs = base64.b64encode(public(b"x" * 32)).decode()
    entries = tuple(structs.replace(e, public={"ed25519": theirs}) if e.purpose == "switches" else e
                    for e in state.entries)  # fmt: skip
    forged = msgspec.json.encode(structs.replace(state, serial=state.serial + 1, entries=entries))
    (ring.folder / "ring.json").write_bytes(encode_document(forged, b"s" * 64))
    with pytest.raises(KeyUnusable):
        file.switch_keys()


def test_keys_of_another_region_come_from_the_plan_or_its_ring_here(house):
    home, loaded = house
    eu, us = made(house, "eu"), made(house, "us")
    seed = us.switch_seed()
    theirs = others_keys(home, loaded.plan, "us")
    assert theirs() == known(seed)
    us.renew("switches")
    assert theirs() == known(us.switch_seed())
    assert home_keys(home, loaded.plan, home.region("eu"), eu.worker())() == known(us.switch_seed())
    assert home_keys(home, loaded.plan, home.region("us"), us.worker())() == known(us.switch_seed())
    nobody = structs.replace(loaded.plan, switches=SwitchRules())
    assert home_keys(home, nobody, home.region("eu"), eu.worker())() == {}
    declared = "ed25519:" + base64.b64encode(public(b"y" * 32)).decode()
    regions = {**loaded.plan.regions, "us": structs.replace(loaded.plan.regions["us"], switch_keys=(declared,))}
    assert others_keys(home, structs.replace(loaded.plan, regions=regions), "us")() == known(b"y" * 32)
    (us.folder / "ring.json").unlink()
    with pytest.raises(KeyUnusable):
        theirs()


def test_who_signs_follows_a_renewed_key(house, monkeypatch):
    home, loaded = house
    monkeypatch.setattr(switchkeys, "FOLLOW", 0.01)
    ring = made(house)
    old = ring.switch_seed()
    place = home.region("eu")
    signer = SwitchSigner(place, loaded, home.root, ring.worker(), old)
    listen = region_keys(place, ring.worker())
    assert {signer.key: public(old)} == signer.accepted() == listen()

    async def life():
        following = asyncio.create_task(signer.follow())
        ring.renew("switches")
        assert signer.key not in listen(), "no host takes the old one's tables"
        assert signer.accepted() == listen() | known(old), "but this process does until it noticed"
        new = key_id(public(ring.switch_seed()))
        aside = place.keys / "away"
        (place.keys / "root.json").rename(aside)  # the root cannot be asked for a while
        await asyncio.sleep(0.1)
        assert signer.key == key_id(public(old))
        aside.rename(place.keys / "root.json")
        while signer.key != new:  # noqa: ASYNC110  # it is asked, and tells nobody
            await asyncio.sleep(0.01)
        assert signer.accepted() == listen()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    asyncio.run(asyncio.wait_for(life(), 60))
    key = Ed25519PrivateKey.from_private_bytes(ring.switch_seed()).public_key()
    key.verify(signer.sign(b"table"), b"table")
