# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Objects as clients send them: which keys, of which kind, and what is wrong if not.

An error has the shape that clients know: ``{"type", "loc", "msg", "input"}``
(facts/relay.md §1.3). Conversion is as lax as there: ``"25"`` is a number, ``1`` is
true; a number is no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Loc = tuple[str | int, ...]
#: Returns the value as it is meant, or raises ``Wrong``.
Check = Callable[[Any, Loc], Any]

#: What PostgreSQL's text cannot hold, and UTF-8 cannot say.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_TRUTHS: Mapping[Any, bool] = {
    **dict.fromkeys((1, "1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys((0, "0", "false", "f", "no", "n", "off"), False),
}
_MAX_INPUT = 200


class Wrong(Exception):
    """What is wrong with a value: a list of errors."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__(len(errors))
        self.errors = list(errors)


def wrong(kind: str, loc: Loc, msg: str, value: Any, **ctx: Any) -> Wrong:
    """Return one error; of a long text only its beginning is repeated."""
    shown = value[:_MAX_INPUT] if isinstance(value, str) else value
    if not isinstance(shown, str | int | float | None):
        shown = type(value).__name__
    if isinstance(shown, str):
        shown = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", shown)
    error = {"type": kind, "loc": list(loc), "msg": msg, "input": shown}
    return Wrong({**error, "ctx": ctx} if ctx else error)


@dataclass(frozen=True)
class Field:
    """One key of an object. A ``default`` stands where the key, or its value, is not.

    ``secret``: its value is never repeated in an error, nor logged.
    """

    check: Check
    required: bool = False
    nullable: bool = True
    default: Any = None
    secret: bool = False


@dataclass(frozen=True)
class Schema:
    """The keys of an object; others are ignored, or refused where it is ``closed``."""

    fields: Mapping[str, Field]
    closed: bool = False

    def read(self, value: Any, loc: Loc = ("body",)) -> dict[str, Any]:
        """Return the keys that were given, each as it is meant.

        :raises Wrong: with all errors, in the order of the fields.
        """
        if not isinstance(value, dict):
            msg = "Input should be a valid dictionary"
            raise wrong("dict_type", loc, msg, value)
        result: dict[str, Any] = {}
        errors: list[dict[str, Any]] = []
        for name, spec in self.fields.items():
            try:
                self._read_field(name, spec, value, loc, result)
            except Wrong as error:
                errors += error.errors
        if self.closed:
            errors += self._extra(value, loc)
        if errors:
            raise Wrong(*errors)
        return result

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all keys, with the defaults of those not given."""
        return {
            name: spec.default if given.get(name) is None else given[name]
            for name, spec in self.fields.items()
        }

    def _read_field(
        self,
        name: str,
        spec: Field,
        value: Mapping[str, Any],
        loc: Loc,
        result: dict[str, Any],
    ) -> None:
        if name not in value:
            if spec.required:
                raise wrong("missing", (*loc, name), "Field required", None)
            return
        if value[name] is None and spec.nullable and not spec.required:
            result[name] = None
            return
        try:
            result[name] = spec.check(value[name], (*loc, name))
        except Wrong as error:
            if spec.secret:
                error.errors = [{**item, "input": "***"} for item in error.errors]
            raise

    def _extra(self, value: Mapping[str, Any], loc: Loc) -> list[dict[str, Any]]:
        msg = "Extra inputs are not permitted"
        return [
            wrong("extra_forbidden", (*loc, str(name)[:100]), msg, "…").errors[0]
            for name in value
            if name not in self.fields
        ]


@dataclass(frozen=True)
class Text:
    """A text with a length between two bounds."""

    low: int = 0
    high: int = 1_000_000
    pattern: re.Pattern[str] | None = field(default=None)

    def __call__(self, value: Any, loc: Loc) -> str:
        """Check one value."""
        if not isinstance(value, str):
            raise wrong("string_type", loc, "Input should be a valid string", value)
        if len(value) < self.low:
            msg = f"String should have at least {self.low} character"
            raise wrong("string_too_short", loc, msg, value, min_length=self.low)
        if len(value) > self.high:
            msg = f"String should have at most {self.high} characters"
            raise wrong("string_too_long", loc, msg, value, max_length=self.high)
        if _UNSTORABLE.search(value):
            msg = "Input should be valid Unicode text without NUL"
            raise wrong("string_unicode", loc, msg, value)
        if self.pattern and not self.pattern.fullmatch(value):
            msg = f"String should match pattern '{self.pattern.pattern}'"
            raise wrong("string_pattern_mismatch", loc, msg, value)
        return value


@dataclass(frozen=True)
class Integer:
    """A whole number; what is beyond a bound is an error."""

    low: int = -(2**31)
    high: int = 2**31 - 1

    def __call__(self, value: Any, loc: Loc) -> int:
        """Check one value."""
        is_whole = isinstance(value, float) and value.is_integer()
        if is_whole or (isinstance(value, str) and _INTEGER.fullmatch(value)):
            value = int(value)
        if not isinstance(value, int):
            kind = "int_parsing" if isinstance(value, str) else "int_type"
            raise wrong(kind, loc, "Input should be a valid integer", value)
        if not self.low <= value <= self.high:
            msg = f"Input should be between {self.low} and {self.high}"
            raise wrong("int_range", loc, msg, str(value)[:40])
        return int(value)


def boolean(value: Any, loc: Loc) -> bool:
    """Check for a truth value, or a word for one."""
    key = value.lower() if isinstance(value, str) else value
    if not isinstance(key, str | int | float) or key not in _TRUTHS:
        raise wrong("bool_parsing", loc, "Input should be a valid boolean", value)
    return _TRUTHS[key]


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def __call__(self, value: Any, loc: Loc) -> str:
        """Check one value."""
        if not isinstance(value, str) or value not in self.words:
            expected = " or ".join(f"'{word}'" for word in self.words)
            msg = f"Input should be {expected}"
            raise wrong("literal_error", loc, msg, value, expected=expected)
        return value


@dataclass(frozen=True)
class ListOf:
    """A list whose items are all of one kind, at most ``most`` of them."""

    check: Check
    most: int = 100_000

    def __call__(self, value: Any, loc: Loc) -> list[Any]:
        """Check one value."""
        if not isinstance(value, list):
            raise wrong("list_type", loc, "Input should be a valid list", value)
        if len(value) > self.most:
            msg = f"List should have at most {self.most} items"
            raise wrong("too_long", loc, msg, len(value), max_length=self.most)
        result, errors = [], []
        for index, item in enumerate(value):
            try:
                result.append(self.check(item, (*loc, index)))
            except Wrong as error:
                errors += error.errors
        if errors:
            raise Wrong(*errors)
        return result
