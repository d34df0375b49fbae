"""The orchestration engine of swarm-tui; it knows no screen."""
