"""The trunk, the copies that agents work in, the green branch and diffs."""
