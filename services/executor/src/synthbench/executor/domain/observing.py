"""What a model is shown of an observation."""


def shown(content: str, limit: int) -> str | None:
    """Return the head and the tail of a long text with a line that says what is missing; None if it is short."""
    if len(content) <= limit:
        return None
    head, tail = content[: limit * 3 // 4], content[-(limit // 4) :]
    return f"{head}\n[… {len(content) - len(head) - len(tail):,} characters left out; narrow the output …]\n{tail}"
