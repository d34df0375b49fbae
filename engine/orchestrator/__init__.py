"""The running swarm: supervision, commands, recovery, completion."""
