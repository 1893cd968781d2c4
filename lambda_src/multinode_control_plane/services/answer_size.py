"""How much of an answer a text takes up: Lambda returns at most 6 MB."""

import json


def bytes_in_answer(text: str) -> int:
    """Return the bytes that a text takes in a JSON body that is itself a JSON string, as Lambda returns it."""
    return len(json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False).encode("utf-8", "replace"))
