"""The git side of a run: the user's repository, trunk and landings, workspaces, the check."""
