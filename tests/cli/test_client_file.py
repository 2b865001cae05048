"""`firedoor client-file` writes what `ShopClient.from_file` reads."""

from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.client import ShopClient
from firedoor.config import Home
from firedoor.store.catalog import build
from tests.e2e import plans
from tests.e2e.house import House


def test_the_file_works_in_the_shop_and_holds_no_secret(tmp_path):
    house = House(tmp_path / "home")
    plans.copy_catalog(house.folder / "catalog.jsonl")
    arguments = [
        "client-file",
        str(tmp_path / "shop"),
        "--shop",
        "alpenladen",
        "--region",
        "eu",
        "--home",
        str(house.folder),
    ]
    early = CliRunner().invoke(app, arguments)
    assert "no index yet" in str(early.exception)
    place = Home(house.folder).region("eu")
    place.make()
    build(house.folder / "catalog.jsonl", place.catalog("alpenladen"))
    assert CliRunner().invoke(app, arguments).exit_code == 0
    client = ShopClient.from_file(
        tmp_path / "shop" / "firedoor-client.json", "product_discovery", credential="fd_eu_x_y"
    )
    try:
        answer = client.chat([{"role": "user", "content": "a warm sleeping bag"}])  # no gateway listens there
    finally:
        client.close()
    assert answer.firedoor.source == "local"
    assert "You may like" in answer.choices[0].message.content


def test_an_unknown_shop_is_named(tmp_path):
    house = House(tmp_path / "home")
    done = CliRunner().invoke(
        app, ["client-file", str(tmp_path), "--shop", "x", "--region", "eu", "--home", str(house.folder)]
    )
    assert "no shop 'x'" in str(done.exception)
