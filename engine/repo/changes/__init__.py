"""What an agent changed: scanned, built into a commit, waiting to land."""
