"""What the compose file's `credentials` writes: each service's own secrets, made up once."""

import base64
import hashlib
import json
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.credentials import write_credentials
from deploy.rights import RIGHTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("rabbitmq", "postgres", *RIGHTS):
        (tmp_path / name).mkdir()
    write_credentials(tmp_path)
    return tmp_path


def texts(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "definitions.json"
    }


def users(folder: Path) -> dict[str, Any]:
    return {
        user["name"]: user
        for user in json.loads((folder / "rabbitmq" / "definitions.json").read_text())["users"]
    }


def test_a_second_time_changes_no_secret(folder: Path) -> None:
    before = texts(folder)
    write_credentials(folder)
    assert texts(folder) == before
    assert before


@pytest.mark.parametrize("user", RIGHTS)
def test_a_user_s_url_has_the_password_whose_hash_the_broker_is_given(folder: Path, user: str) -> None:
    url = urlsplit((folder / user / "taskgen_amqp_url").read_text())
    hashed = base64.b64decode(users(folder)[user]["password_hash"])
    salt, digest = hashed[:4], hashed[4:]
    assert url.username == user
    assert digest == hashlib.sha256(salt + (url.password or "").encode()).digest()


def test_no_two_users_share_a_password_and_the_definitions_hold_none(folder: Path) -> None:
    passwords = [urlsplit((folder / user / "taskgen_amqp_url").read_text()).password or "" for user in RIGHTS]
    passwords += [(folder / "postgres" / role).read_text() for role in ("postgres", "controller", "cli")]
    assert len(set(passwords)) == len(passwords)
    assert min(len(password) for password in passwords) >= 32
    definitions = (folder / "rabbitmq" / "definitions.json").read_text()
    assert not [password for password in passwords if password in definitions]


def test_only_the_sinks_that_are_named_get_a_queue(folder: Path) -> None:
    write_credentials(folder, ["csv"])
    definitions = json.loads((folder / "rabbitmq" / "definitions.json").read_text())
    names = {queue["name"] for queue in definitions["queues"]}
    assert {name for name in names if ".sink." in name} == {"taskgen.sink.csv", "taskgen.sink.csv.parked"}
    assert {binding["destination"] for binding in definitions["bindings"]} <= names


@pytest.mark.parametrize(
    ("file", "role", "database"),
    [
        ("controller/taskgen_state_url", "controller", "controller"),
        ("postgres_sink/taskgen_postgres_dsn", "postgres_sink", "events"),
    ],
)
def test_a_database_s_url_has_the_password_that_postgresql_is_given(
    folder: Path, file: str, role: str, database: str
) -> None:
    url = urlsplit((folder / file).read_text())
    assert (url.username, url.path) == (role, f"/{database}")
    assert url.password == (folder / "postgres" / role).read_text()


def test_a_services_secrets_are_readable_only_by_it(folder: Path) -> None:
    modes = {
        file.relative_to(folder).as_posix(): stat.S_IMODE(file.stat().st_mode)
        for user in RIGHTS
        for file in (folder / user).iterdir()
    }
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_only_users_of_the_management_api_get_its_url(folder: Path) -> None:
    (folder / "handler" / "taskgen_management_url").write_text("as version 0.1 did")
    write_credentials(folder)
    assert [user for user in RIGHTS if (folder / user / "taskgen_management_url").exists()] == ["cli"]


def test_the_image_has_a_folder_for_each_volume_so_that_it_may_write_there() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    named = dockerfile.split("for name in ")[1].split(";")[0].split()
    assert sorted(named) == sorted(["rabbitmq", "postgres", *RIGHTS])
