"""The form that an answer is held to: a JSON schema, a regular expression, or a list of choices.

vLLM and servers that know it let the model write nothing else (guided decoding); here the form is
checked before anything runs, and every answer against it afterwards, since a cut answer, or that of
a server which ignores the wish, may break it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.models.protocol import Answer, Sampling

_SHOWN_CHARS = 120


def as_schema_text(schema: Mapping[str, Any]) -> str:
    """A JSON schema as one canonical text: keys sorted, no spaces.

    Example:
        >>> as_schema_text({"type": "object", "required": ["a"]})
        '{"required":["a"],"type":"object"}'
    """
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check_form(
    json_schema: Mapping[str, Any] | str | None = None,
    regex: str | None = None,
    choice: Sequence[str] = (),
) -> None:
    """Refuse a form that no answer could have.

    Args:
        json_schema: A JSON schema, draft 2020-12, as a mapping or as JSON text.
        regex: What the whole answer must match, as Python's `re` reads it.
        choice: The answers that are allowed.

    Raises:
        ValueError: More than one form is given, or it is no schema, no regular expression, or a
            list with an empty or repeated choice.
        RecipeError: jsonschema is not installed.

    Example:
        >>> check_form(regex="[0-9")
        Traceback (most recent call last):
        ValueError: regex '[0-9': unterminated character set at position 0
    """
    forms = {"json_schema": json_schema, "regex": regex, "choice": choice or None}
    given = [name for name, form in forms.items() if form is not None]
    if len(given) > 1:
        msg = f"an answer has one form, not {' and '.join(given)}"
        raise ValueError(msg)
    if regex is not None:
        try:
            re.compile(regex)
        except re.error as error:
            msg = f"regex {regex!r}: {error}"
            raise ValueError(msg) from error
        if not regex:
            msg = "regex '': only an empty answer matches it"
            raise ValueError(msg)
    if choice and (len(set(choice)) < len(choice) or not all(one.strip() for one in choice)):
        msg = f"choice {list(choice)}: every choice has a text, and none stands twice"
        raise ValueError(msg)
    if json_schema is not None:
        _check_schema(json_schema)


def _check_schema(schema: Mapping[str, Any] | str) -> None:
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            msg = f"json_schema is no JSON: {error}"
            raise ValueError(msg) from error
    if not isinstance(schema, dict) or not schema:
        msg = "json_schema is a mapping that says something, such as {type: object, ...}"
        raise ValueError(msg)
    jsonschema = _jsonschema()
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        at = ".".join(map(str, error.absolute_path)) or "its top"
        msg = f"json_schema, at {at}: {error.message[:_SHOWN_CHARS]}"
        raise ValueError(msg) from error


def broken_form(sampling: Sampling, answer: Answer) -> str | None:
    """What an answer breaks of the form that was asked; None where it keeps it or has none to keep.

    An answer that was cut at `max_tokens` breaks it unless what is there is whole all the same.

    Example:
        >>> from databuild.models.protocol import Answer, Sampling
        >>> yes_or_no = Sampling(choice=("yes", "no"))
        >>> broken_form(yes_or_no, Answer("a", "yes", "stop"))
        >>> broken_form(yes_or_no, Answer("a", "ye", "length"))
        'the answer was cut at max_tokens and is none of the choices'
    """
    text = answer.text
    if text is None or not sampling.has_form:
        return None
    trouble: str | None = None
    if sampling.choice:
        trouble = None if text in sampling.choice else "is none of the choices"
    elif sampling.regex is not None:
        trouble = None if re.fullmatch(sampling.regex, text) else "does not match the regex"
    elif sampling.json_schema is not None:
        trouble = against_schema(sampling.json_schema, text)
    if trouble is None:
        return None
    cut = "was cut at max_tokens and " if answer.finish_reason == "length" else ""
    return f"the answer {cut}{trouble}"


def against_schema(schema: str, text: str) -> str | None:
    """What a text breaks of a JSON schema (as text, checked already); None where it fits.

    Example:
        >>> against_schema('{"type":"object"}', "{}")
        >>> against_schema('{"type":"object"}', "[1]")
        "does not fit the json_schema: its top: [1] is not of type 'object'"
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "is no JSON"
    error = next(iter(_validator(schema).iter_errors(value)), None)
    if error is None:
        return None
    at = ".".join(map(str, error.absolute_path))
    # What stands before the colon counts the failures by reason; the rest tells them apart.
    return f"does not fit the json_schema: {at or 'its top'}: {error.message[:_SHOWN_CHARS]}"


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    return _jsonschema().Draft202012Validator(json.loads(schema))


def _jsonschema() -> Any:
    try:
        import jsonschema
    except ModuleNotFoundError as error:
        what = "jsonschema is not installed, which json_schema needs"
        raise RecipeError("json_schema", what, fix="uv add 'databuild[generate]'") from error
    return jsonschema
