"""Text that any encoder takes: what a model or a tool returns may hold lone surrogates."""


def clean(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
