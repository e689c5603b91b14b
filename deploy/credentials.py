"""`python -m deploy.credentials FOLDER [SINK...]`: generates passwords once, and gives each service its own.

Each subfolder is a volume that only the service of its name can see. Existing passwords are kept.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.definitions import definitions
from deploy.rights import RIGHTS, TAGS
from taskgen.amqp.topology import DEFAULT_SINKS

_PASSWORD_BYTES: Final = 24
_OWN_EYES_ONLY: Final = 0o400
_PGPASS: Final = 0o600
"""libpq rejects a file that others may read, and does not need to write it."""
_ANY_USER: Final = 0o444
"""In the volumes of RabbitMQ and PostgreSQL, whose user ids differ from ours; nobody else has access."""

_DATABASES: Final = {
    "controller": ("taskgen_state_url", "controller"),
    "postgres_sink": ("taskgen_postgres_dsn", "events"),
}
"""By role: the setting that takes its URL, and its database."""


def write_credentials(folder: Path, sinks: Sequence[str] = DEFAULT_SINKS) -> None:
    """Write what is missing, and always rewrite RabbitMQ's definitions.

    Args:
        folder: has a subfolder for each service, writable.
        sinks: the kinds that get a queue.
    """
    passwords = {user: _broker_password(folder / user) for user in RIGHTS}
    text = json.dumps(definitions(passwords, sinks), indent=1)
    _write(folder / "rabbitmq" / "definitions.json", text, _ANY_USER)
    _database_password(folder, "postgres")
    for role, (setting, database) in _DATABASES.items():
        url = f"postgresql://{role}:{_database_password(folder, role)}@postgres:5432/{database}"
        _write(folder / role / setting, url, _OWN_EYES_ONLY)
    line = f"postgres:5432:*:cli:{_database_password(folder, 'cli')}\n"
    _write(folder / "cli" / "pgpass", line, _PGPASS)


def _broker_password(folder: Path) -> str:
    """The user's password, out of the URL that its service is given."""
    file, user = folder / "taskgen_amqp_url", folder.name
    if not file.exists():
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        _write(file, f"amqp://{user}:{password}@rabbitmq:5672/%2F", _OWN_EYES_ONLY)
    password = urlsplit(file.read_text()).password or ""
    management = folder / "taskgen_management_url"
    if user in TAGS:
        _write(management, f"http://{user}:{password}@rabbitmq:15672", _OWN_EYES_ONLY)
    else:
        management.unlink(missing_ok=True)  # left by a version that gave this user access
    return password


def _database_password(folder: Path, role: str) -> str:
    """A role's password, as PostgreSQL reads it when it creates its databases."""
    file = folder / "postgres" / role
    if not file.exists():
        _write(file, secrets.token_urlsafe(_PASSWORD_BYTES), _ANY_USER)
    return file.read_text()


def _write(file: Path, text: str, mode: int) -> None:
    """Replace a file atomically, with its permissions set from the start."""
    new = file.with_name(f".{file.name}")
    new.unlink(missing_ok=True)
    new.touch(mode=mode | 0o200)
    new.write_text(text)
    new.chmod(mode)
    new.replace(file)


if __name__ == "__main__":
    write_credentials(Path(sys.argv[1]), sys.argv[2:] or DEFAULT_SINKS)
