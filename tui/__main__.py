"""`python -m tui` is `swarm-tui`, whatever the path says."""

import sys

from tui.cli import main

if __name__ == "__main__":
    sys.exit(main())
