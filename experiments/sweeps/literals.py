"""Values as they are written in flags: numbers, tuples, true, false, none, and else strings."""

import ast
from typing import Any


def values_of(text: str) -> tuple[Any, ...]:
    """The values of a list with commas, such as 'uniform,two_stage', '1,2' or '(1,2),(5,)'."""
    try:
        return ast.literal_eval(f"({text},)")
    except (ValueError, SyntaxError):
        return tuple(value_of(value) for value in text.split(","))


def value_of(text: str) -> Any:
    """A single value."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
