"""`.env.example` documents what can be set: every setting of every service, and nothing else."""

import importlib
import re
from pathlib import Path

from taskgen.runtime.settings import PREFIX, ServiceSettings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
NOT_A_FIELD = {"SECRETS_DIR"}
"""Where fields may be found, and none itself."""


def settings_of_all_services() -> set[str]:
    for path in (ROOT / "services").glob("*/settings.py"):
        importlib.import_module(f"services.{path.parent.name}.settings")
    return {
        name.upper()
        for cls in with_subclasses(ServiceSettings)
        if cls.__module__.startswith(("taskgen.", "services."))
        for name in cls.model_fields
    }


def with_subclasses(cls: type[ServiceSettings]) -> set[type[ServiceSettings]]:
    return {cls}.union(*map(with_subclasses, cls.__subclasses__()))


def documented() -> set[str]:
    return set(re.findall(rf"^#{PREFIX}(\w+)=", EXAMPLE.read_text(), re.MULTILINE))


def read_by_compose() -> set[str]:
    return set(re.findall(rf"\$\{{{PREFIX}(\w+)", COMPOSE.read_text()))


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert documented() == settings_of_all_services() | read_by_compose() | NOT_A_FIELD


def test_nothing_is_set_by_copying_it() -> None:
    assert [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")] == []
