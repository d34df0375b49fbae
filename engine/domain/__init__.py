"""Values, events, commands, errors, settings and masking: the vocabulary. Imports nothing above it."""
