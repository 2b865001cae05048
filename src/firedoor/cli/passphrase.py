"""Where a person's passphrase comes from: a file, the environment, or the terminal. Never an argument."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from firedoor.errors import SetupError
from firedoor.keys.people import PASSPHRASE_MAX
from firedoor.store.files import read_bounded

VARIABLE = "FIREDOOR_PASSPHRASE"

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help=f"File whose first line is the passphrase; else ${VARIABLE}, else asked."),
]


def passphrase(file: Path | None, *, whose: str, new: bool = False) -> str:
    """The passphrase of `whose` key; a new one is asked for twice. Raises `SetupError`."""
    if file is not None:
        try:
            return read_bounded(file, 4 * PASSPHRASE_MAX).decode().split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"The passphrase file {file} cannot be read.", remedy="Name a text file.") from error
    if (found := os.environ.get(VARIABLE)) is not None:
        return found
    return str(typer.prompt(f"Passphrase of {whose}", hide_input=True, confirmation_prompt=new, err=True))
