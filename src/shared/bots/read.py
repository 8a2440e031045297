"""Reading bots: one by its name, or a page of them, each with the state of its endpoints in two round trips."""

from typing import Any

from shared.bots.fields import endpoint_names, is_name
from shared.bots.page import BotQuery
from shared.bots.registry import BotRegistry
from shared.bots.view import BotView, view
from shared.endpoints.records import EndpointRecords
from shared.errors import BotNotFoundError


def read_bot(name: str, *, bots: BotRegistry, endpoints: EndpointRecords) -> BotView:
    """Read one bot; raise BotNotFoundError, without asking the registry for a name that no bot can have."""
    if not is_name(name):
        raise BotNotFoundError(name)
    bot = bots.get(name)
    return view(bot, endpoints.get_many(endpoint_names(bot.fields)))


def read_page(query: BotQuery, *, bots: BotRegistry, endpoints: EndpointRecords) -> dict[str, Any]:
    """Read a page: `{"bots": […], "next_token": … or null where the list ends}`."""
    # One more than asked for tells whether another page follows.
    found = bots.page(query, query.limit + 1)
    page = found[: query.limit]
    records = endpoints.get_many({name.lower() for bot in page for name in endpoint_names(bot.fields)})
    return {
        "bots": [view(bot, records).body for bot in page],
        "next_token": query.next_token(page[-1].name) if len(found) > len(page) else None,
    }
