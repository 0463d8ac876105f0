"""Prompts as files: what a step says to a model, in turns, with placeholders.

A prompt is a Markdown file. A comment at its top, which is not sent, says where the idea comes
from. Each heading of level two begins a turn: `## system`, `## user` or `## assistant`, so that
worked examples can stand before the question. `{{ name }}` is filled in for every row; loops and
conditions are Jinja's. A value is put in after the turns were cut, so no row can begin a turn.

A file's name is `<prompt>.<language>.md`, as `deeper.en.md`. A step ships its prompts in a folder
of its own; a recipe replaces any of them by a file of the same name (`prompts:`), which for all
languages at once may leave the language out.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from databuild.errors import RecipeError, StepError, nearest
from databuild.models.protocol import Message
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
_TURN = re.compile(r"^## (system|user|assistant)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"\A\s*<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """One prompt: the turns of a conversation, to be filled in and sent."""

    name: str
    """The file's name without `.md`, as rows that were made with it say."""
    turns: tuple[tuple[str, str], ...]
    """Role and text of every turn."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of what is sent."""
        return digest_text(repr(self.turns))[:16]

    def messages(self, **values: object) -> tuple[Message, ...]:
        """Fill in the placeholders of every turn; white space at the ends of a turn is left out."""
        return tuple(
            Message(cast("Any", role), _compiled(text).render(**values).strip())
            for role, text in self.turns
        )


@dataclass(frozen=True)
class Prompts:
    """The prompts that a step knows: where they lie, and which placeholders each may use.

    Args:
        folder: The folder of the shipped ones.
        known: The placeholders by the name of a prompt.
    """

    folder: Path
    known: Mapping[str, tuple[str, ...]]

    def shipped(self, own: Iterable[str | Path] = ()) -> tuple[Path, ...]:
        """The shipped files that are not replaced by a file of the same name among `own`."""
        replaced = {str(path).replace("\\", "/").rpartition("/")[2] for path in own}
        return tuple(
            self.folder / f"{name}.{language}.md"
            for name in self.known
            for language in LANGUAGES
            if not {f"{name}.{language}.md", f"{name}.md"} & replaced
        )

    def read(self, own: Sequence[Path] = ()) -> Mapping[tuple[str, str], Template]:
        """Every prompt by name and language, those of the user first.

        Raises:
            RecipeError: A file of the user's is named after no prompt, or is no prompt; see
                `read_template`.
            StepError: Jinja is not installed.
        """
        found: dict[tuple[str, str], Template] = {}
        for path in sorted(own):
            name, _, language = path.name.removesuffix(".md").partition(".")
            if name not in self.known or language not in {"", *LANGUAGES} or path.suffix != ".md":
                known = nearest(name, self.known)
                what = f"this prompt replaces none of the step's; {known}"
                fix = "name the file after a prompt: <prompt>.md, <prompt>.en.md or <prompt>.zh.md"
                raise RecipeError(str(path), what, fix=fix)
            template = read_template(path, self.known[name])
            for one in (language,) if language else LANGUAGES:
                if language or (name, one) not in found:
                    found[name, one] = template
        for path in self.shipped(own):
            name, _, language = path.name.removesuffix(".md").partition(".")
            found[name, language] = read_template(path, self.known[name])
        return found

    def check(self, own: Sequence[Path]) -> None:
        """Check the user's files, if there are any.

        Raises:
            RecipeError: As `read`.
        """
        if own:
            self.read(own)


def read_template(path: Path, names: Iterable[str]) -> Template:
    """Read a prompt.

    Args:
        path: The file.
        names: The placeholders that there are.

    Raises:
        RecipeError: The file cannot be read, has no `## user` turn at its end, text before its
            first turn, a placeholder that is not among `names`, or is not valid Jinja.
        StepError: Jinja is not installed.
    """
    try:
        whole = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"this prompt cannot be read: {error}"
        raise RecipeError(str(path), what, fix="name a Markdown file in UTF-8") from error
    # The comment's lines stay, so that an error names the line of the file.
    text = _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), whole)
    before, *cut = _TURN.split(text)
    roles, texts = cut[::2], cut[1::2]
    if before.strip() or not roles:
        what = "text stands before the first turn" if roles else "there is no turn"
        raise RecipeError(str(path), what, fix="begin with `## system` or `## user`")
    if roles[-1] != "user" or "system" in roles[1:]:
        what = f"its turns are {', '.join(roles)}"
        fix = "let `## system` come first, if at all, and `## user` last"
        raise RecipeError(str(path), what, fix=fix)
    line = before.count("\n") + 1
    for turn in texts:
        _check_placeholders(path, line, turn, tuple(names))
        line += turn.count("\n")
    turns = tuple((role, turn.strip()) for role, turn in zip(roles, texts, strict=True))
    return Template(path.name.removesuffix(".md"), turns)


def _check_placeholders(path: Path, line: int, text: str, names: Sequence[str]) -> None:
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    try:
        wanted = meta.find_undeclared_variables(environment.parse(text))
    except TemplateSyntaxError as error:
        where = f"{path}:{line + error.lineno - 1}"
        what = f"this is not valid Jinja: {error.message}"
        raise RecipeError(where, what, fix="close every {{ and {% of the prompt") from error
    for unknown in sorted(wanted - set(names)):
        at = next((n for n, one in enumerate(text.split("\n")) if unknown in one), 0)
        what = f"unknown placeholder {unknown!r}; {nearest(unknown, names)}"
        raise RecipeError(f"{path}:{line + at}", what, fix="correct the placeholder")


@functools.cache
def _environment() -> Any:
    """A sandbox: a prompt may come with a stranger's recipe."""
    try:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        what = "jinja2, which fills in prompts, is not installed"
        raise StepError("prompts", what, fix="uv add 'databuild[generate]'") from error
    # What is filled in is a prompt for a model, no page: escaping would change it.
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> Any:
    return _environment().from_string(text)
