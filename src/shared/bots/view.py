"""How a bot is shown: its flat fields, the state of its endpoints, and the ETag of both."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.bots.fields import wanted_endpoints
from shared.bots.registry import StoredBot
from shared.endpoints.record import EndpointRecord, shown


@dataclass(frozen=True, slots=True)
class BotView:
    """A bot as a caller sees it."""

    body: Mapping[str, Any]
    etag: str


def view(bot: StoredBot, records: Mapping[str, EndpointRecord]) -> BotView:
    """Join a bot and the records (by lower-cased name) of its endpoints."""
    endpoints = [
        shown(records.get(name.lower()), name, wanted) for name, wanted in wanted_endpoints(bot.fields).items()
    ]
    state = hashlib.sha256(json.dumps(endpoints).encode()).hexdigest()[:12]
    return BotView({**bot.fields, "endpoints": endpoints}, f'"{bot.version_tag}.{state}"')
