"""A judge that says what a function of (request, text asked) says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.models.protocol import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Scripted:
    """Remembers the requests; a text that the function says becomes an answer."""

    def __init__(self, say: Callable[[Request, str], str | Answer]) -> None:
        self.say = say
        self.requests: list[Request] = []

    def __call__(self, requests: Sequence[Request]) -> Mapping[str, Answer]:
        self.requests += requests
        told = {}
        for one in requests:
            said = self.say(one, one.messages[-1].content)
            told[one.id] = said if isinstance(said, Answer) else Answer(one.id, said, "stop", 5, 1)
        return told
