"""Event-stream frames: whole, byte by byte, with a tail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.sse import FrameDecoder, encode
from firedoor.errors import ModelFailed

CASES = [
    (b"data: a\n\n", [b"a"]),
    (b"data:a\n\n", [b"a"]),
    (b"data:  a\n\n", [b" a"]),
    (b"data: a\r\n\r\n", [b"a"]),
    (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    (b"data: a\ndata: b\n\n", [b"a\nb"]),
    (b"event: x\nid: 7\ndata: a\n\n", [b"a"]),
    (b": keep-alive\n\ndata: a\n\n", [None, b"a"]),
    (b"data\n\n", [b""]),
    (b"data: [DONE]\n\n", [b"[DONE]"]),
    (b"data: a\n\r\ndata: b\r\n\n", [b"a", b"b"]),
    (b"data: a", []),
    (b"data: a\n", []),
]


def decode(chunks):
    decoder = FrameDecoder()
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return frames + decoder.finish()


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_whole_byte_by_byte_and_with_a_tail(raw, expected):
    assert [f.data for f in decode([raw])] == expected
    assert [f.data for f in decode([bytes([b]) for b in raw])] == expected
    if expected and not raw.endswith(b"\r"):
        assert [f.data for f in decode([raw + b"data: tail"])] == expected


@given(st.lists(st.sampled_from([b"data: a", b"data:", b": c", b"\n", b"\r\n", b"\r", b"x: y", b"\n\n"])), st.data())
def test_cutting_the_bytes_differently_never_changes_the_frames(parts, data):
    raw = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    chunks = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert decode(chunks) == decode([raw])


@given(st.lists(st.binary(min_size=1).filter(lambda b: b"\n" not in b and b"\r" not in b)))
def test_frames_keep_every_byte_and_encode_is_the_inverse(payloads):
    raw = b"".join(encode(p) for p in payloads)
    frames = decode([raw])
    assert b"".join(f.raw for f in frames) == raw
    assert [f.data for f in frames] == payloads


def test_an_endless_event_is_refused():
    decoder = FrameDecoder(limit=100)
    decoder.feed(b"data: " + b"x" * 90)
    with pytest.raises(ModelFailed, match="larger"):
        decoder.feed(b"x" * 90)
