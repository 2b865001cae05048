"""A root in AWS KMS: single-Region keys of one AWS Region. The context goes as encryption context.

Multi-Region keys are refused wherever they turn up: their material leaves the AWS Region they were made in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from firedoor.core.evidence.leaf import check_name
from firedoor.errors import KeyUnusable
from firedoor.keys.roots.common import (
    check_endpoint,
    check_size,
    check_wrapped,
    does_not_open,
    fresh_label,
    no_key,
    optional,
)

TIMEOUT: Final = 10.0
"""Seconds to connect and to answer. The root is asked at start and when keys change, never for an exchange."""
WINDOW_DAYS: Final = 7
"""Days until a key that is to be deleted is gone: the least that KMS allows. It cannot be used from the first on."""

_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):key/([A-Za-z0-9-]{1,64})\Z")


class AwsKmsRoot:
    """See `firedoor.ports.keys.Root`. Credentials are those boto3 finds: an instance's role, or a profile."""

    kind = "aws_kms"

    def __init__(self, region: str, *, aws_region: str, endpoint: str | None = None) -> None:
        self.region = check_name("region", region)
        if endpoint is not None:
            check_endpoint(endpoint, f"The KMS of region {region}", "root.endpoint")
        self._aws_region = aws_region
        self._endpoint = endpoint
        self._connection: Any = None

    def create(self, name: str) -> str:
        """See the port."""
        label = fresh_label("/", self.region, name)
        made = self._call(
            lambda kms: kms.create_key(
                Description=label,
                KeySpec="SYMMETRIC_DEFAULT",
                KeyUsage="ENCRYPT_DECRYPT",
                Origin="AWS_KMS",
                MultiRegion=False,
                Tags=[{"TagKey": "firedoor-region", "TagValue": self.region}],
            )
        )
        return self._own(str(made["KeyMetadata"]["Arn"]))

    def wrap(self, handle: str, data: bytes, context: str) -> bytes:
        """See the port. Raises `KeyUnusable` too if the key is a multi-Region key."""
        self._own(handle)
        check_size(data)
        self._check_state(handle)
        answer = self._call(
            lambda kms: kms.encrypt(KeyId=handle, Plaintext=data, EncryptionContext={"firedoor": context})
        )
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, handle: str, wrapped: bytes, context: str) -> bytes:
        """See the port."""
        self._own(handle)
        check_wrapped(wrapped, self.region)
        self._check_state(handle)
        answer = self._call(
            lambda kms: kms.decrypt(KeyId=handle, CiphertextBlob=wrapped, EncryptionContext={"firedoor": context})
        )
        if answer.get("KeyId") != handle:
            raise does_not_open(self.region)
        return bytes(answer["Plaintext"])

    def destroy(self, handle: str) -> str:
        """See the port: the date, a week ahead, on which KMS deletes the key. Until then its owner can undo it."""
        self._own(handle)

        def end(kms: Any) -> Any:
            state = kms.describe_key(KeyId=handle)["KeyMetadata"]
            if "DeletionDate" in state:
                return state
            # KMS deletes keys of the caller's own account only: the id is enough.
            return kms.schedule_key_deletion(KeyId=handle.rpartition("/")[2], PendingWindowInDays=WINDOW_DAYS)

        try:
            return str(self._call(end)["DeletionDate"].date().isoformat())
        except _GoneError:
            return "now"

    def check(self) -> None:
        """See the port: the credentials are good for a call that touches no key."""
        self._call(lambda kms: kms.generate_random(NumberOfBytes=1))

    def describe(self) -> str:
        """See the port."""
        return f"AWS KMS in {self._aws_region}, single-Region keys"

    def _own(self, handle: str) -> str:
        match = _ARN.match(handle)
        if match is None or match[1] != self._aws_region:
            raise KeyUnusable(
                f"A wrapping key of region {self.region} is not a KMS key of {self._aws_region}.",
                remedy="Keys never change their region: check `root` in the plan.",
            )
        if match[3].startswith("mrk-"):
            raise _multi_region(self.region)
        return handle

    def _check_state(self, handle: str) -> None:
        """Raises `KeyUnusable` for a multi-Region key, and one that is to be deleted: nobody may bring it back."""
        state = self._call(lambda kms: kms.describe_key(KeyId=handle))["KeyMetadata"]
        if state.get("MultiRegion"):
            raise _multi_region(self.region)
        if "DeletionDate" in state:
            raise no_key(self.region)

    def _call(self, act: Callable[[Any], Any]) -> Any:
        """`act` with the client. Raises `KeyUnusable` without the service's own words."""
        errors = optional("botocore.exceptions", "aws")
        try:
            return act(self._client())
        except errors.ClientError as error:
            raise self._refusal(str(error.response.get("Error", {}).get("Code", ""))) from error
        except errors.BotoCoreError as error:
            raise KeyUnusable(
                f"AWS KMS gave no usable answer for region {self.region}: {type(error).__name__}.",
                remedy="Check the credentials, the network and `root` in the plan.",
            ) from error

    def _refusal(self, code: str) -> KeyUnusable:
        if code == "NotFoundException":
            gone = no_key(self.region)
            return _GoneError(gone.message, remedy=gone.remedy)
        if code in {"InvalidCiphertextException", "IncorrectKeyException"}:
            return does_not_open(self.region)
        return KeyUnusable(
            f"AWS KMS refused for region {self.region}: {re.sub(r'[^A-Za-z]', '', code)[:60] or 'no reason given'}.",
            remedy="Check the credentials' policy and the state of the keys.",
        )

    def _client(self) -> Any:
        if self._connection is None:
            config = optional("botocore.config", "aws").Config(
                connect_timeout=TIMEOUT,
                read_timeout=TIMEOUT,
                retries={"mode": "standard", "max_attempts": 3},
                ignore_configured_endpoint_urls=True,  # the plan says where keys go, no variable and no profile
            )
            self._connection = optional("boto3", "aws").client(
                "kms", region_name=self._aws_region, endpoint_url=self._endpoint, config=config
            )
        return self._connection


class _GoneError(KeyUnusable):
    """KMS has no such key."""


def _multi_region(region: str) -> KeyUnusable:
    return KeyUnusable(
        f"A wrapping key of region {region} is a multi-Region key.",
        remedy="Its material leaves the AWS Region: only single-Region keys are used.",
    )
