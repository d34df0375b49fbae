"""Makes text encodable: what a model or a tool returns may contain lone surrogates."""


def clean(text: str) -> str:
    """The text with lone surrogates replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
