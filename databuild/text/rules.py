"""Lists of terms and patterns with severities: how they are written, read and matched."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from databuild.errors import RecipeError
from databuild.text.tokens import folded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
"""From 1 to 4."""
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# A character that goes on with a word; scripts without spaces have no such.
_WORD = rf"[\w--[{_UNSPACED}]]"
_META = r"\.+*?()|[]{}^$#&-~"


class Rule(BaseModel):
    """One rule: it is hit by any of its terms or patterns."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str = Field(pattern=r"^[\w.\-]+$")
    """The rule's name, as it stands in the measured columns."""
    severity: Severity
    """How bad a hit is."""
    terms: tuple[str, ...] = ()
    """Words and phrases; a space matches any white space."""
    patterns: tuple[str, ...] = ()
    """Regular expressions (Rust's: no look-around, no back-references)."""
    match: Literal["auto", "word", "substring"] = "auto"
    """Whether a term must be whole words. `auto`: yes, unless it has a character of a script
    without spaces (Chinese, Japanese, Thai ...), which matches anywhere."""
    case: Literal["fold", "exact"] = "fold"
    """`fold`: upper and lower case, full and half width (NFKC) are equal. `exact`: they are not."""

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not self.terms and not self.patterns:
            msg = "a rule needs `terms` or `patterns`"
            raise ValueError(msg)
        if any(not text.strip() for text in (*self.terms, *self.patterns)):
            msg = "a term or pattern is blank"
            raise ValueError(msg)
        return self


def read_rules(path: Path) -> list[Rule]:
    """Read a list of rules.

    YAML (`.yaml`, `.yml`): a list of rules with the fields of `Rule`. CSV: the columns `id`,
    `severity`, `kind` (`term` or `pattern`), `text`, and maybe `match` and `case`, one term or
    pattern a line; lines of one id make one rule.

    Raises:
        RecipeError: The file cannot be read, or a rule in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = f"this list of rules cannot be read: {error}"
        raise RecipeError(str(path), what, fix="name a YAML or CSV file in UTF-8") from error
    raw = _from_csv(path, text) if path.suffix == ".csv" else _from_yaml(path, text)
    rules = []
    for number, fields in enumerate(raw, 1):
        try:
            rules.append(Rule.model_validate(fields))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = fields.get("id") if isinstance(fields, dict) else None
            place = ".".join(map(str, first["loc"])) or "rule"
            what = (
                f"rule {number} ({name!r}), `{place}`: {first['msg'].removeprefix('Value error, ')}"
            )
            raise RecipeError(str(path), what, fix="correct the rule") from error
    return rules


def _from_yaml(path: Path, text: str) -> list[object]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        what = f"this is no YAML: {' '.join(str(error).split())[:200]}"
        raise RecipeError(str(path), what, fix="correct the file") from error
    if not isinstance(data, list):
        what = f"a list of rules is a YAML list, this is {type(data).__name__}"
        raise RecipeError(str(path), what, fix="begin each rule with `- id:`")
    return data


def _from_csv(path: Path, text: str) -> list[object]:
    needed = {"id", "severity", "kind", "text"}
    reader = csv.DictReader(StringIO(text))
    missing = sorted(needed - set(reader.fieldnames or ()))
    if missing:
        what = f"the columns {missing} are missing; there are {list(reader.fieldnames or ())}"
        raise RecipeError(str(path), what, fix=f"give it the columns {sorted(needed)}")
    rules: dict[str, dict[str, object]] = {}
    for line in reader:
        kind = {"term": "terms", "pattern": "patterns"}.get(line["kind"] or "")
        if kind is None:
            what = f"`kind` of {line['id']!r} is {line['kind']!r}"
            raise RecipeError(f"{path}:{reader.line_num}", what, fix="write term or pattern")
        fixed = {key: line[key] for key in ("id", "severity", "match", "case") if line.get(key)}
        rule = rules.setdefault(line["id"], {**fixed, "terms": [], "patterns": []})
        if any(rule.get(key) != value for key, value in fixed.items()):
            what = f"the lines of {line['id']!r} differ in severity, match or case"
            raise RecipeError(f"{path}:{reader.line_num}", what, fix="use one id for each")
        held = rule[kind]
        assert isinstance(held, list)
        held.append(line["text"] or "")
    return list(rules.values())


def check_rules(rules: Sequence[Rule], where: str) -> None:
    """Refuse rules that share an id, and patterns that cannot be compiled.

    Raises:
        RecipeError: There is one.
    """
    ids = [rule.id for rule in rules]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        what = f"the rule {twice[0]!r} is there twice"
        raise RecipeError(where, what, fix="give each rule an id of its own")
    for rule in rules:
        for pattern in rule.patterns:
            try:
                pl.select(pl.lit("").str.contains(pattern))
            except pl.exceptions.ComputeError as error:
                reason = str(error).strip().splitlines()[-1]
                what = f"the pattern {pattern!r} of rule {rule.id!r} is not valid: {reason}"
                fix = "write it in Rust's syntax: no look-around, no back-references"
                raise RecipeError(where, what, fix=fix) from error


def expression_of(rule: Rule) -> str:
    r"""One regular expression for a rule; its first group that took part is what was hit.

    Example:
        >>> expression_of(Rule(id="r", severity="low", terms=("炸弹",)))
        '(?i)(炸弹)'
    """
    parts = [f"({'|'.join(f'(?:{p})' for p in rule.patterns)})"] if rule.patterns else []
    terms = _terms(rule)
    unspaced = terms.str.contains(rf"[{_UNSPACED}]")
    is_word = ~unspaced if rule.match == "auto" else unspaced.is_null() | (rule.match == "word")
    for some, side in ((terms.filter(is_word), _WORD), (terms.filter(~is_word), None)):
        either = "|".join(_escaped(text) for text in some)
        if either:
            outside = f"[^{side[1:-1]}]" if side else ""
            parts.append(f"(?:^|{outside})({either})(?:$|{outside})" if side else f"({either})")
    return ("(?i)" if rule.case == "fold" else "") + "|".join(parts)


def literals_of(rule: Rule) -> list[str]:
    """For each term of a rule its longest piece without white space: a text that is hit has one."""
    return sorted({max(text.split(), key=len) for text in _terms(rule)})


def _terms(rule: Rule) -> pl.Series:
    terms = pl.Series("t", rule.terms, dtype=pl.String)
    if rule.case == "fold":
        terms = terms.to_frame().select(folded(pl.col("t"))).to_series()
    return terms.unique().sort()


def _escaped(text: str) -> str:
    plain = "".join(f"\\{char}" if char in _META else char for char in text.strip())
    return r"\s+".join(plain.split())
