"""The settings of all services, read from environment variables that begin with `TASKGEN_`."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from taskgen.errors import HandlerError, SettingsError, StoreError, StoreUnavailableError, TaskgenError
from taskgen.runtime.logs import LogKind

PREFIX: Final = "TASKGEN_"


T = TypeVar("T")


def checked(check: Callable[[T], object]) -> AfterValidator:
    """Annotate a setting: its value is invalid if `check` raises an error of this library."""

    def validate(value: T) -> T:
        try:
            check(value)
        except TaskgenError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


def _check_url(url: str, kind: str, example: str) -> None:
    """Check scheme, host and port; errors never quote the URL."""
    if not re.match(rf"{kind.lower()}s?://[^/]+", url):
        raise SettingsError(f"is not an {kind} URL; write {example}")
    try:
        parts = urlsplit(url)
        is_right = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may contain a part of the password
        is_right = False
    if not is_right or "@" in parts.path + parts.query + parts.fragment:
        raise SettingsError(
            f"has an invalid host or port; write {example}, "
            "and / ? # and @ of a password as %2F %3F %23 and %40"
        )


def _check_amqp_url(url: str) -> None:
    _check_url(url, "AMQP", "amqp://user:password@host:5672/vhost")
    with suppress(ImportError):  # without the extra there are no connections
        from taskgen.amqp.connection import check_broker_url  # noqa: PLC0415 - needs it

        check_broker_url(url)


def _check_http_url(url: str) -> None:
    _check_url(url, "HTTP", "http://user:password@host:15672")


class ServiceSettings(BaseSettings):
    """The settings of every service; each service adds its own. An empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    amqp_url: Annotated[str, checked(_check_amqp_url)] = "amqp://guest:guest@127.0.0.1:5672/%2F"
    management_url: Annotated[str, checked(_check_http_url)] | None = None
    """The broker's management API; None: port 15672 of the broker's host, if it answers."""
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """For /healthz and /metrics; 0: any free port."""
    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] = Field(
        default_factory=socket.gethostname
    )
    """Distinguishes replicas in logs, connections and files."""
    log_format: LogKind = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"


S = TypeVar("S", bound=ServiceSettings)


@contextmanager
def naming(field: str) -> Iterator[None]:
    """Blame a setting for a handler or store that can never be opened.

    Raises:
        SettingsError: names the variable.
    """
    try:
        yield
    except StoreUnavailableError:
        raise
    except (HandlerError, StoreError) as error:
        raise SettingsError(f"{PREFIX}{field.upper()}: {error}") from error


def load_settings(cls: type[S], **given: Any) -> S:
    """Load settings from the environment, or from files in the folder that `TASKGEN_SECRETS_DIR` names.

    Such a file has the name of the variable in lower case; the variable takes precedence.

    Args:
        cls: the class of the settings.
        given: values of options, which take precedence over variables.

    Raises:
        SettingsError: one line that names the first variable or option that is wrong or missing.
    """
    try:
        return cls(_secrets_dir=_secrets_folder(), **given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = "_".join(str(part) for part in first["loc"][:1]) or "settings"
        name = f"--{field.replace('_', '-')}" if field in given else f"{PREFIX}{field.upper()}"
        if first["type"] == "missing":
            raise SettingsError(f"{name} is required") from error
        # The value is not shown: it may contain a password.
        raise SettingsError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
    except UnreadableError as error:
        found = re.search(r'field "(\w+)"', str(error))
        name = found[1].upper() if found else ""
        raise SettingsError(f'{PREFIX}{name}: must be JSON, such as ["one", "two"]') from error


def _secrets_folder() -> str | None:
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR") or None
    if folder is not None and not Path(folder).is_dir():
        raise SettingsError(f"{PREFIX}SECRETS_DIR: {folder} is not a folder")
    return folder
