"""Files of NATS credentials: what is read is exactly a user's, and nothing of it shows."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.nkeys import FILE_LIMIT, Credentials, parse_credentials
from firedoor.errors import SetupError

# The example pair of the NATS documentation, "NKeys".
SEED = b"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
FILE = b"-----BEGIN USER NKEY SEED-----\n" + SEED + b"\n------END USER NKEY SEED------\n"
JWT = b"-----BEGIN NATS USER JWT-----\neyJ0.eyJh-_.c2ln\n------END NATS USER JWT------\n\n"


def test_the_documented_pair():
    read = parse_credentials(FILE)
    assert (read.public, read.seed_text, read.jwt) == (PUBLIC, SEED.decode(), None)
    assert read.file() == FILE


@given(st.binary(min_size=32, max_size=32), st.text())
def test_what_is_written_is_read_and_signs(seed, nonce):
    made = Credentials(seed)
    read = parse_credentials(made.file())
    assert read == made
    raw = base64.b32decode(made.public)[1:33]
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(read.sign(nonce)), nonce.encode())


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_jwt_in_front_is_kept(newline):
    read = parse_credentials((JWT + FILE).replace(b"\n", newline))
    assert (read.jwt, read.public) == (b"eyJ0.eyJh-_.c2ln", PUBLIC)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SEED,
        FILE.replace(b"\n", b""),
        FILE.replace(SEED, SEED[:-1]),
        FILE.replace(SEED, SEED + b"A"),
        FILE.replace(SEED, SEED[:30] + b"A" + SEED[31:]),
        FILE.replace(SEED, SEED.lower()),
        FILE.replace(b"SUAC", b"SAAC"),
        FILE.replace(b"SUAC", b"SUBC"),
        FILE.replace(b"END USER", b"END"),
        JWT,
        JWT.replace(b"END", b"") + FILE,
        JWT.replace(b".", b"!") + FILE,
        FILE + b" " * FILE_LIMIT,
    ],
)
def test_near_misses_are_refused_without_a_word_of_them(data):
    with pytest.raises(SetupError) as refused:
        parse_credentials(data)
    assert "SU" not in str(refused.value)
    assert "eyJ" not in str(refused.value)


def test_a_seed_is_never_shown():
    assert SEED.decode() not in repr(parse_credentials(FILE))
    assert repr(parse_credentials(FILE)) == f"Credentials({PUBLIC})"
