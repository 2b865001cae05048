import pytest

from .house import SECRET, House


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A running installation with scripted models; shared by the tests of a module."""
    house = House(tmp_path_factory.mktemp("house"))
    house.run("check", house.plan)
    house.start()
    for region in ("eu", "us"):
        house.run("protect", "add", "--region", region, "--set", "supplier_prices", SECRET)
    yield house
    house.remove()
