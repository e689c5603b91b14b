"""The JSON Schemas of the messages: `python -m taskgen.messages.schemas docs/messages` publishes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

from taskgen.messages.codec import Message
from taskgen.messages.run import EventsMessageV1
from taskgen.messages.taskset import BaseMessage


def schemas() -> dict[str, str]:
    """Text of each schema's file, by its name `<schema>.v<version>.json`."""
    models: tuple[type[BaseMessage], ...] = (*get_args(Message), EventsMessageV1)
    return {
        f"{model.model_fields['kind'].default}.v{model.model_fields['version'].default}.json": json.dumps(
            model.model_json_schema(by_alias=True), indent=2
        )
        + "\n"
        for model in models
    }


def main() -> None:
    """Write the files into the folder that is given."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
