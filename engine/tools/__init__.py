"""The tools agents may call: for each, one module and one description (.md)."""
