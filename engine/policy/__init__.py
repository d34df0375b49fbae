"""Pure decisions: what starts next, what may still be spent, what has gone wrong."""
