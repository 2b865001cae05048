"""A root in AWS KMS, played by the server of `moto`: its KMS keeps keys, contexts and deletion dates as AWS does."""

import socket
import sys

import pytest

from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.ring import create_ring, open_ring
from firedoor.keys.roots.aws_kms import AwsKmsRoot

from .rings import CONTEXT, check_root, exports

boto3 = pytest.importorskip("boto3", reason='boto3 is missing: pip install "firedoor[aws]"')
moto_server = pytest.importorskip("moto.server", reason="moto is missing: pip install 'moto[server]'")

REGION = "eu-central-1"
DATE = r"20\d\d-\d\d-\d\d"


@pytest.fixture(scope="module")
def endpoint():
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    patch.undo()


def kms(endpoint, region="eu", aws_region=REGION):
    return AwsKmsRoot(region, aws_region=aws_region, endpoint=endpoint)


def client(endpoint):
    return boto3.client("kms", region_name=REGION, endpoint_url=endpoint)


def test_it_does_what_a_root_owes(endpoint):
    root = kms(endpoint)
    check_root(root, kms(endpoint, "us", "us-east-1"), gone=DATE)
    assert not exports(root)
    assert root.describe() == "AWS KMS in eu-central-1, single-Region keys"


def test_keys_are_single_region_and_say_whose_they_are(endpoint):
    handle = kms(endpoint).create("epoch-3")
    about = client(endpoint).describe_key(KeyId=handle)["KeyMetadata"]
    assert about["MultiRegion"] is False
    assert (about["KeySpec"], about["KeyUsage"]) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert about["Description"].startswith("firedoor/eu/epoch-3-")
    tags = client(endpoint).list_resource_tags(KeyId=handle)["Tags"]
    assert tags == [{"TagKey": "firedoor-region", "TagValue": "eu"}]


def test_multi_region_keys_are_refused(endpoint):
    root = kms(endpoint)
    multi = client(endpoint).create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    assert ":key/mrk-" in multi
    for call in (
        lambda: root.wrap(multi, b"x", CONTEXT),
        lambda: root.unwrap(multi, bytes(60), CONTEXT),
        lambda: root.destroy(multi),
    ):
        with pytest.raises(KeyUnusable, match="multi-Region key"):
            call()


@pytest.mark.parametrize(
    "handle",
    [
        "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-central-1:123456789012:alias/firedoor",
        "arn:aws:s3:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "",
    ],
)
def test_keys_of_another_aws_region_are_refused(endpoint, handle):
    root = kms(endpoint)
    for call in (
        lambda: root.wrap(handle, b"x", CONTEXT),
        lambda: root.unwrap(handle, bytes(60), CONTEXT),
        lambda: root.destroy(handle),
    ):
        with pytest.raises(KeyUnusable, match="not a KMS key of eu-central-1"):
            call()


def test_a_key_that_kms_does_not_know_is_gone(endpoint):
    handle = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    with pytest.raises(KeyUnusable, match="no such wrapping key"):
        kms(endpoint).wrap(handle, b"x", CONTEXT)
    assert kms(endpoint).destroy(handle) == "now"


def test_a_ring_lives_in_it(tmp_path, endpoint):
    ring = create_ring(tmp_path / "keys", "eu", kms(endpoint))
    assert open_ring(tmp_path / "keys", "eu", kms(endpoint)).worker_bundle() == ring.worker_bundle()


def test_a_dead_endpoint_is_refused(endpoint):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = kms(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(KeyUnusable, match="gave no usable answer for region eu: EndpointConnectionError"):
            dead.check()


@pytest.mark.parametrize("url", ["http://kms.example", "http://10.0.0.1:4566", "ftp://127.0.0.1"])
def test_keys_do_not_cross_a_network_in_clear(url):
    with pytest.raises(SetupError, match="not reached by https"):
        kms(url)


def test_the_environment_does_not_say_where_keys_go(endpoint, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert kms(None)._client().meta.endpoint_url == "https://kms.eu-central-1.amazonaws.com"


def test_the_package_may_be_missing(endpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(SetupError, match=r"firedoor\[aws\]"):
        kms(endpoint).check()
