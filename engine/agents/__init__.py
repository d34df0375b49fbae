"""The agent loop and the roles that run in it."""
