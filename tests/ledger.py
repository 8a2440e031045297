"""What a caller may believe of a bot of its own from the answers that it got: a model to hold the registry against."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tests.support import ApiClient, Reply

#: A bot's configuration as it was sent, None where there is no bot.
State = Mapping[str, Any] | None
UNAVAILABLE: Final = 503
_SHOWN: Final = (
    *("name", "es_url", "file_types", "bot_image", "bot_image_cmd", "endpoint_name", "endpoint_ecr_image_path"),
    *("instance_type", "model_s3_path", "bot_vcpu", "bot_mem"),
)


class Ledger:
    """One bot and its only caller. An answer says what the bot is; after a 503 it may be as before, or as asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.may_be: list[State] = [None]
        self.answers: Counter[int] = Counter()

    @property
    def path(self) -> str:
        return f"/bots/{self.name}"

    def call(self, api: ApiClient, method: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Make a call about the bot, and hold its answer against what the bot may be by now."""
        reply = api(method, "/bots" if method == "POST" else self.path, body)
        self.answers[reply.status] += 1
        outcomes = [_outcome(method, body, state) for state in self.may_be]
        if reply.status == UNAVAILABLE:
            assert int(reply.headers["retry-after"]) > 0
            self.may_be = _distinct([*self.may_be, *(after for _, after in outcomes)])
            return reply
        possible = [after for status, after in outcomes if status == reply.status]
        assert possible, f"{method} {self.path} gave {reply.status} {reply.body!r}; the bot may be {self.may_be}"
        if reply.status in (200, 201):
            possible = [state for state in possible if state and _shows(reply.json, state)]
            assert possible, f"{method} {self.path} showed {reply.body!r}; the bot may be {self.may_be}"
        if method != "GET" and reply.status in (200, 201, 204):
            self.may_be = _distinct(possible)
        return reply

    def settle(self, api: ApiClient) -> bool:
        """Read the bot back when nothing fails any more, and ask the list as well; tell whether there is one."""
        read = self.call(api, "GET")
        assert read.status in (200, 404), read.body
        listed = [bot["name"] for bot in api("GET", f"/bots?limit=100&name_prefix={self.name}").json["bots"]]
        is_there = read.status == 200
        assert listed.count(self.name) == is_there, f"{self.path} gave {read.status}, the list {listed}"
        return is_there


def _outcome(method: str, body: State, state: State) -> tuple[int, State]:
    """Give the answer's status, and what the bot is then."""
    match method, state:
        case "POST", None:
            return 201, body
        case "POST", _:
            return 200 if state == body else 409, state
        case "PUT", _:
            return 201 if state is None else 200, body
        case _, None:
            return 404, None
        case "PATCH", _:
            return 200, {**state, **(body or {})}
        case "DELETE", _:
            return 204, None
    return 200, state


def _shows(shown: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    return all(shown[field] == state.get(field, "") for field in _SHOWN)


def _distinct(states: list[State]) -> list[State]:
    return [state for position, state in enumerate(states) if state not in states[:position]]
