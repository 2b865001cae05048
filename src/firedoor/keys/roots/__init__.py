"""Roots of a region's keys: where the wrapping keys live that never leave. One kind for each line in the plan."""

from __future__ import annotations

from pathlib import Path

from firedoor.core.plan import model
from firedoor.keys.roots.aws_kms import AwsKmsRoot
from firedoor.keys.roots.file import FileRoot
from firedoor.keys.roots.pkcs11 import Pkcs11Root
from firedoor.keys.roots.vault import VaultRoot
from firedoor.ports.keys import Root

ROOT_FILE = "root.json"
PIN_REFUSED = "pin-refused"


def open_root(declared: model.Root, region: str, keys: Path, plan_folder: Path) -> Root:
    """The root that the plan declares for `region`. Nothing is contacted before it is used.

    `keys` is the region's folder of keys; relative paths in the plan count from `plan_folder`. Raises `SetupError`.
    """
    match declared:
        case model.FileRoot():
            return FileRoot(keys / ROOT_FILE, region)
        case model.Pkcs11Root():
            return Pkcs11Root(
                region,
                module=declared.module,
                token=declared.token,
                pin_file=plan_folder / declared.pin_file,
                refused=keys / PIN_REFUSED,
            )
        case model.VaultRoot():
            return VaultRoot(
                region,
                url=declared.url,
                mount=declared.mount,
                token_file=plan_folder / declared.token_file,
                ca_file=plan_folder / declared.ca_file if declared.ca_file else None,
            )
        case model.AwsKmsRoot():
            return AwsKmsRoot(region, aws_region=declared.aws_region, endpoint=declared.endpoint)
