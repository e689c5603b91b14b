"""The settings that all services share, read from the environment: variables that begin with `TASKGEN_`."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from taskgen.errors import HandlerError, SettingsError, StoreError, StoreUnavailableError, TaskgenError
from taskgen.logs import LogKind

PREFIX: Final = "TASKGEN_"


def _amqp_url(url: str) -> str:
    if not re.match(r"amqps?://[^/]+", url):
        raise ValueError("is no AMQP URL; write amqp://user:password@host:5672/vhost")
    return url


def _http_url(url: str) -> str:
    if not re.match(r"https?://[^/]+", url):
        raise ValueError("is no HTTP URL; write http://user:password@host:15672")
    return url


class ServiceSettings(BaseSettings):
    """What every service needs; each service adds its own. A variable that is empty is not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    amqp_url: Annotated[str, AfterValidator(_amqp_url)] = "amqp://guest:guest@127.0.0.1:5672/%2F"
    management_url: Annotated[str, AfterValidator(_http_url)] | None = None
    """The broker's management API; None: at port 15672 of the broker's host, if it answers there."""
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Of /healthz and /metrics; 0: any free one."""
    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] = Field(
        default_factory=socket.gethostname
    )
    """Tells replicas apart, in logs, connections and files."""
    log_format: LogKind = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"


S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")


def checked(check: Callable[[T], object]) -> AfterValidator:
    """Annotates a setting: what `check` raises of this library's errors makes its value a wrong one."""

    def validate(value: T) -> T:
        try:
            check(value)
        except TaskgenError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


@contextmanager
def naming(field: str) -> Iterator[None]:
    """Open what a setting names: a handler or store that will never open makes its value a wrong one.

    Raises:
        SettingsError: it names the variable.
    """
    try:
        yield
    except StoreUnavailableError:
        raise
    except (HandlerError, StoreError) as error:
        raise SettingsError(f"{PREFIX}{field.upper()}: {error}") from error


def load_settings(cls: type[S], **given: Any) -> S:
    """The settings from the environment, or from files of the folder that `TASKGEN_SECRETS_DIR` names.

    Such a file is called as the variable, in small letters; the variable counts for more.

    Args:
        cls: which settings.
        given: fields that are not looked up.

    Raises:
        SettingsError: one line that names the first variable with a wrong value, or that is missing.
    """
    try:
        return cls(_secrets_dir=_secrets_folder(), **given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1]).upper() or "settings"
        if first["type"] == "missing":
            raise SettingsError(f"{PREFIX}{name} is not set; it has to be") from error
        # The value is left out: it may hold a password.
        raise SettingsError(f"{PREFIX}{name}: {first['msg'].removeprefix('Value error, ')}") from error
    except UnreadableError as error:
        found = re.search(r'field "(\w+)"', str(error))
        name = found[1].upper() if found else ""
        raise SettingsError(f'{PREFIX}{name}: has to be JSON, such as ["one", "two"]') from error


def _secrets_folder() -> str | None:
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR") or None
    if folder is not None and not Path(folder).is_dir():
        raise SettingsError(f"{PREFIX}SECRETS_DIR: {folder} is no folder")
    return folder
