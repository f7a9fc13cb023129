"""The other side's words in messages: one line, bounded, and safe to print and to store."""

MAX_SHOWN = 300


def one_line(text: object) -> str:
    """Text of a server on one line, cut to ``MAX_SHOWN`` characters; signs that cannot be printed are replaced."""
    if isinstance(text, bytes):
        text = text[: 8 * MAX_SHOWN].decode("utf-8", "replace")
    line = " ".join(str(text).split())
    shown = line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}..."
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in shown)


def query_note(promql: str) -> str:
    """The last sentence of a message about a query."""
    return f"Query: {' '.join(promql.split())}"
