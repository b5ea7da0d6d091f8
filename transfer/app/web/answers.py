"""The answers besides 200 that every address of the JSON may give, for its description."""

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """Why there is nothing else: what happened, what is safe, what to do."""

    error: str


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": said}
    for status, said in (
        (400, "what was asked cannot be"),
        (401, "not signed in"),
        (403, "not allowed"),
        (404, "not there, or not for you"),
        (422, "a parameter cannot be"),
        (503, "the catalog does not answer"),
    )
}
