"""A root in the transit engine of Vault or OpenBao: wrapping keys stay in the server, which wraps and unwraps.

Keys are of type aes256-gcm96 and not exportable; the context goes as `associated_data`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from firedoor.core.evidence.leaf import check_name
from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.roots.common import (
    check_endpoint,
    check_label,
    check_size,
    check_wrapped,
    does_not_open,
    fresh_label,
    no_key,
    optional,
    read_secret,
)

T = TypeVar("T")

TIMEOUT: Final = (3.0, 10.0)
"""Seconds to connect and to answer. The root is asked at start and when keys change, never for an exchange."""


class VaultRoot:
    """See `firedoor.ports.keys.Root`. `token_file` (0600) is read at each connection: a renewed token is used."""

    kind = "vault"

    def __init__(self, region: str, *, url: str, mount: str, token_file: Path, ca_file: Path | None = None) -> None:
        self.region = check_name("region", region)
        check_endpoint(url, f"The key server of region {region}", "root.url")
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise SetupError(
                f"The URL of the key server of region {region} holds a user, a query or a fragment.",
                remedy="Put the token in `root.token_file`.",
            )
        self._url = url
        self._host = parts.netloc
        self._mount = mount
        self._token_file = token_file
        self._ca_file = ca_file

    def create(self, name: str) -> str:
        """See the port."""
        handle = fresh_label(".", self.region, name)
        self._call(
            lambda transit: transit.create_key(
                handle,
                key_type="aes256-gcm96",
                exportable=False,
                allow_plaintext_backup=False,
                mount_point=self._mount,
            )
        )
        return handle

    def wrap(self, handle: str, data: bytes, context: str) -> bytes:
        """See the port: the server's own text, ``vault:v1:…``."""
        check_label(".", self.region, handle)
        self._need(handle)  # else the server makes a key of that name, and wraps
        plain = base64.b64encode(check_size(data)).decode()
        answer = self._call(
            lambda transit: transit.encrypt_data(
                handle, plaintext=plain, associated_data=_text(context), mount_point=self._mount
            )
        )
        return str(answer["data"]["ciphertext"]).encode()

    def unwrap(self, handle: str, wrapped: bytes, context: str) -> bytes:
        """See the port."""
        check_label(".", self.region, handle)
        try:
            sealed = check_wrapped(wrapped, self.region).decode("ascii")
        except UnicodeDecodeError as error:
            raise does_not_open(self.region) from error
        answer = self._call(
            lambda transit: transit.decrypt_data(
                handle, sealed, associated_data=_text(context), mount_point=self._mount
            )
        )
        try:
            return base64.b64decode(str(answer["data"]["plaintext"]), validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise does_not_open(self.region) from error

    def destroy(self, handle: str) -> str:
        """See the port. The server's own backups hold the key until they are gone too."""
        check_label(".", self.region, handle)
        if self._read(handle) is not None:
            self._call(
                lambda transit: transit.update_key_configuration(handle, deletion_allowed=True, mount_point=self._mount)
            )
            self._call(lambda transit: transit.delete_key(handle, mount_point=self._mount))
        return "now"

    def check(self) -> None:
        """See the port: the token is one the server knows and may look for keys under the mount."""
        self._read(fresh_label(".", self.region, "none"))

    def describe(self) -> str:
        """See the port."""
        return f"transit engine {self._mount!r} of the key server {self._host}"

    def _need(self, handle: str) -> None:
        if self._read(handle) is None:
            raise no_key(self.region)

    def _read(self, handle: str) -> Any:
        """What the server says of the key, None if it has no such key. Raises `KeyUnusable` if it may not be asked."""
        missing = optional("hvac.exceptions", "vault").InvalidPath

        def read(transit: Any) -> Any:
            try:
                return transit.read_key(handle, mount_point=self._mount)
            except missing as error:
                if error.errors:  # an absent key has none; an absent mount has "no handler for route"
                    raise
                return None

        return self._call(read)

    def _call(self, act: Callable[[Any], T]) -> T:
        """`act` with the transit engine of a new connection. Raises `KeyUnusable` without the server's own words."""
        hvac = optional("hvac", "vault")
        requests = optional("requests", "vault")
        token = read_secret(self._token_file, f"token file of region {self.region}")
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no CA and no netrc from the environment
            session.verify = str(self._ca_file) if self._ca_file else True
            client = hvac.Client(
                url=self._url,
                token=token,
                verify=session.verify,
                timeout=TIMEOUT,
                allow_redirects=False,
                session=session,
            )
            try:
                return act(client.secrets.transit)
            except hvac.exceptions.InvalidRequest as error:
                raise does_not_open(self.region) from error
            except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized) as error:
                raise KeyUnusable(
                    f"The key server of region {self.region} refused the token.",
                    remedy="Renew the token in `root.token_file`, and check its policy.",
                ) from error
            except (hvac.exceptions.VaultError, requests.RequestException, OSError) as error:
                raise KeyUnusable(
                    f"The key server of region {self.region} gave no usable answer: {type(error).__name__}.",
                    remedy="Check that it runs, is unsealed, and `root` in the plan.",
                ) from error


def _text(context: str) -> str:
    return base64.b64encode(context.encode()).decode()
