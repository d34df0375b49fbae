"""The running swarm: it starts agents, carries out commands, recovers from crashes, and ends the run."""
