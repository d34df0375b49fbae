"""What the commands of `swarm-tui` do: one module per family, loaded when it is used."""
