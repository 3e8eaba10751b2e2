"""Values that tests share."""

import json
from pathlib import Path
from typing import Any

from shared.settings import Settings

ROOT = Path(__file__).parent.parent
EXAMPLE = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]


def settings(**changes: Any) -> Settings:
    """The settings of `local.settings.example.json`, so that it cannot go stale."""
    values = {name: EXAMPLE[name] for name in Settings.model_fields}
    return Settings(**{**values, "ONLY_SEND_TO": "*", "UNDO_SECONDS": "0", **changes})
