"""A root in an HSM, through its PKCS#11 library (OASIS PKCS#11 v2.40 and later, C_Encrypt with CKM_AES_GCM).

Wrapping keys are AES-256 objects of the token: sensitive, never extractable, only for encrypting and decrypting. The
plain bytes go in and out over the session, the wrapping key never does.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from firedoor.core.evidence.leaf import check_name
from firedoor.errors import KeyUnusable
from firedoor.keys.files import read_private, replace
from firedoor.keys.roots.common import (
    NONCE_BYTES,
    SECRET_LIMIT,
    check_label,
    check_size,
    check_wrapped,
    fresh_label,
    no_key,
    optional,
    read_secret,
)

T = TypeVar("T")

_LIBRARY: Final = threading.Lock()
"""A PKCS#11 library is one for the whole process, and a session runs one operation at a time."""


class Pkcs11Root:
    """See `firedoor.ports.keys.Root`. Opens the token at the first use; `pin_file` (0600) holds the user PIN.

    A PIN that was refused is not tried again, by no process: tokens lock themselves after a few. The file `refused`
    remembers which PIN file that was (inode and time of its last change, nothing of the PIN).

    One session is kept. When it is lost, one new one is tried, then the call fails with `KeyUnusable`. A child made by
    fork has no right to it: PKCS#11 libraries do not survive a fork (v2.40 section 5.4), so it is refused there.
    """

    kind = "pkcs11"

    def __init__(self, region: str, *, module: str, token: str, pin_file: Path, refused: Path) -> None:
        self.region = check_name("region", region)
        self._module = module
        self._token = token
        self._pin_file = pin_file
        self._refused = refused
        self._owner = os.getpid()
        self._session: Any = None

    def create(self, name: str) -> str:
        """See the port."""
        p11 = self._package()
        label = fresh_label("/", self.region, name)
        template = {
            p11.Attribute.SENSITIVE: True,
            p11.Attribute.EXTRACTABLE: False,
            p11.Attribute.PRIVATE: True,
            p11.Attribute.MODIFIABLE: False,
            p11.Attribute.WRAP: False,
            p11.Attribute.UNWRAP: False,
            p11.Attribute.DERIVE: False,
        }

        def make(session: Any) -> str:
            session.generate_key(
                p11.KeyType.AES,
                256,
                label=label,
                id=bytes.fromhex(label.rsplit("-", 1)[1]),
                store=True,
                capabilities=p11.MechanismFlag.ENCRYPT | p11.MechanismFlag.DECRYPT,
                template=template,
            )
            return label

        return self._call(make)

    def wrap(self, handle: str, data: bytes, context: str) -> bytes:
        """See the port: nonce, ciphertext, tag."""
        check_label("/", self.region, handle)
        check_size(data)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._call(
            lambda session: bytes(self._key(session, handle).encrypt(data, **self._gcm(nonce, context)))
        )
        return nonce + sealed

    def unwrap(self, handle: str, wrapped: bytes, context: str) -> bytes:
        """See the port."""
        check_label("/", self.region, handle)
        check_wrapped(wrapped, self.region)
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        return self._call(
            lambda session: bytes(self._key(session, handle).decrypt(sealed, **self._gcm(nonce, context)))
        )

    def destroy(self, handle: str) -> str:
        """See the port. A token that cannot be reached is not one that has lost the key."""
        check_label("/", self.region, handle)
        missing = self._package().NoSuchKey

        def end(session: Any) -> str:
            try:
                self._key(session, handle).destroy()
            except missing:
                self._find_token()  # raises if the token went away
            return "now"

        return self._call(end)

    def check(self) -> None:
        """See the port."""
        self._call(lambda _: self._find_token())

    def describe(self) -> str:
        """See the port."""
        return f"PKCS#11 token {self._token!r} through {Path(self._module).name}"

    def _call(self, act: Callable[[Any], T]) -> T:
        """`act` with a session; once more with a new one if it fails. Raises `KeyUnusable`."""
        if os.getpid() != self._owner:
            raise KeyUnusable(
                f"The HSM of region {self.region} was opened by the parent of this process.",
                remedy="Open it after the fork: a PKCS#11 library does not survive one.",
            )
        p11 = self._package()
        with _LIBRARY:
            try:
                if self._session is None:
                    self._session = self._open(afresh=False)
                return act(self._session)
            except (p11.PinIncorrect, p11.PinInvalid, p11.PinLocked) as error:
                with contextlib.suppress(OSError):
                    replace(self._refused, self._pin_stamp())
                raise self._wrong_pin(type(error).__name__) from error
            except p11.PKCS11Error:  # a lost session, or a refusal: tokens do not agree on which error says what
                self._close()
            try:
                self._session = self._reopen()
                return act(self._session)
            except p11.NoSuchKey as error:
                raise no_key(self.region) from error
            except p11.PKCS11Error as error:
                self._close()
                raise KeyUnusable(
                    f"The HSM of region {self.region} refused: {type(error).__name__}.",
                    remedy="Check the token, the PIN file and `root` in the plan; or a wrapped key was changed.",
                ) from error

    def _reopen(self) -> Any:
        try:
            return self._open(afresh=False)
        except self._package().PKCS11Error:
            return self._open(afresh=True)

    def _open(self, *, afresh: bool) -> Any:
        pin = read_secret(self._pin_file, f"PIN file of region {self.region}")
        if read_private(self._refused, SECRET_LIMIT, "note of a refused PIN") == self._pin_stamp():
            raise self._wrong_pin("not tried again")
        p11 = self._package()
        token = self._find_token(afresh=afresh)
        try:
            return token.open(rw=True, user_pin=pin)
        except p11.UserAlreadyLoggedIn:  # the login of another root of this process, on the same token
            return token.open(rw=True)

    def _pin_stamp(self) -> bytes:
        status = self._pin_file.stat()
        return f"{status.st_ino} {status.st_ctime_ns}\n".encode()

    def _wrong_pin(self, how: str) -> KeyUnusable:
        return KeyUnusable(
            f"The HSM of region {self.region} refused the PIN: {how}.",
            remedy="Correct `root.pin_file`, or touch it if it was right; a token locks after a few wrong PINs.",
        )

    def _find_token(self, *, afresh: bool = False) -> Any:
        """The token; `afresh` lets the library look for tokens again, which ends every session of this process."""
        library = self._package().lib(self._module)
        if afresh:
            library.reinitialize()
        return library.get_token(token_label=self._token)

    def _close(self) -> None:
        session, self._session = self._session, None
        try:
            if session is not None:
                session.close()
        except self._package().PKCS11Error:
            pass  # it was lost already

    def _key(self, session: Any, handle: str) -> Any:
        return session.get_key(label=handle, object_class=self._package().ObjectClass.SECRET_KEY)

    def _gcm(self, nonce: bytes, context: str) -> dict[str, Any]:
        p11 = self._package()
        return {
            "mechanism": p11.Mechanism.AES_GCM,
            "mechanism_param": p11.GCMParams(nonce, context.encode(), 128),
        }

    @staticmethod
    def _package() -> Any:
        return optional("pkcs11", "hsm")
