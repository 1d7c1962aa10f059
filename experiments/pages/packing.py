"""Values and arrays as text that may stand in a page, whatever they hold."""

import base64
import json
from typing import Any

import numpy as np

_DTYPES = {"float32": "<f4", "int32": "<i4", "uint8": "u1"}


def packed(value: Any) -> Any:
    """The value with arrays as {"dtype", "base64"}, which the page's script reads back."""
    if isinstance(value, np.ndarray):
        bytes_of = np.ascontiguousarray(value, _DTYPES[value.dtype.name]).tobytes()
        return {"dtype": value.dtype.name, "base64": base64.b64encode(bytes_of).decode()}
    if isinstance(value, dict):
        return {key: packed(one) for key, one in value.items()}
    return [packed(one) for one in value] if isinstance(value, list) else value


def script_json(value: Any) -> str:
    """JSON of ASCII characters without those that mean something in HTML, so that no text can end its script element.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(packed(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
