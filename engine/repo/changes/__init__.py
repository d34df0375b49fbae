"""What an agent changed: scanned, built into a commit, pending until it lands."""
