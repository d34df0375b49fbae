"""The run's Unix socket: commands in, events and snapshots out."""
