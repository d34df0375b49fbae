"""Short notes in one JSON file."""
