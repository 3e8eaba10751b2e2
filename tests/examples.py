"""Values that tests share."""

import json
import pickle
from pathlib import Path
from typing import Any

from shared.settings import Settings

ROOT = Path(__file__).parent.parent
EXAMPLE = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]


_made: dict[bytes, Settings] = {}


def settings(**changes: Any) -> Settings:
    """The settings of `local.settings.example.json`, so that it cannot go stale.

    Made once for the same changes: it takes longer than most of what they are wanted for.
    """
    key = pickle.dumps(changes)
    if key not in _made:
        values = {name: EXAMPLE[name] for name in Settings.model_fields}
        _made[key] = Settings(**{**values, "ONLY_SEND_TO": "*", "UNDO_SECONDS": "0", **changes})
    return _made[key]
