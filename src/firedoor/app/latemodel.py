"""Model instances as a worker calls them: looked up when first needed, so that none keeps a worker from starting."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from firedoor.config import RegionHome
from firedoor.core.plan.model import Model
from firedoor.errors import ModelFailed, SetupError
from firedoor.ports.models import ModelAnswer, ModelServer
from firedoor.store.files import stamp

log = logging.getLogger("firedoor.gateway")


class LateModel:
    """See `firedoor.ports.models.ModelServer`. Until `find` gives the instance every call fails as ``refused``."""

    def __init__(self, find: Callable[[], ModelServer], mark: Callable[[], object] = lambda: None) -> None:
        """`find` raises `SetupError` while there is no such instance; it is asked again whenever `mark` changes."""
        self._find = find
        self._mark = mark
        self._marked: object = None
        self._found: ModelServer | None = None
        self._said = ""

    async def call(self, path: str, body: bytes, *, timeout: float) -> ModelAnswer:  # noqa: ASYNC109  the port's
        """See the port."""
        mark = self._mark()
        if self._found is None or mark != self._marked:
            self._found, self._marked = None, mark
            try:
                self._found = self._find()
            except SetupError as error:
                if error.message != self._said:
                    self._said = error.message
                    log.error("%s", error)
                raise ModelFailed("refused") from None
        return await self._found.call(path, body, timeout=timeout)

    async def aclose(self) -> None:
        """See the port."""
        if self._found is not None:
            await self._found.aclose()


def no_model() -> ModelServer:
    """For surfaces of a worker that may call none. Raises `SetupError`."""
    raise SetupError("This worker has no keys or no protected values, so it calls no model.")


def address_mark(place: RegionHome, model_id: str, model: Model, plan_folder: Path) -> object:
    """Changes when `model_address` may give another address or key, or none any more: a stat or two, on each call."""
    if model.engine != "openai":
        return _stamp(place.model_url(model_id)), _stamp(place.model_key(model_id))
    return _stamp(plan_folder / model.api_key_file) if model.api_key_file is not None else None


def _stamp(path: Path) -> object:
    try:
        return stamp(path)
    except OSError:  # it cannot be looked at: reading it will say why
        return None


def model_address(place: RegionHome, model_id: str, model: Model, plan_folder: Path) -> tuple[str, str | None]:
    """Base URL and API key of a model instance. Raises `SetupError`."""
    if model.engine != "openai":
        try:
            url = place.model_url(model_id).read_text("ascii").strip()
            return url, place.model_key(model_id).read_text("ascii").strip()
        except OSError:
            if (place.isolated / f"{model_id}.json").exists():
                raise SetupError(
                    f"Model instance {model_id} is isolated.", remedy="See `firedoor models isolated`."
                ) from None
            raise SetupError(
                f"Model instance {model_id} was never started here.", remedy="`firedoor up` starts it."
            ) from None
    assert model.url is not None  # the plan's checks
    if model.api_key_file is None:
        return model.url, None
    try:
        return model.url, (plan_folder / model.api_key_file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SetupError(
            f"The API key of {model_id} cannot be read.", remedy="Correct `api_key_file` in the plan."
        ) from None
