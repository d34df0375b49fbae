"""Git's formats and commands: objects, index, packs, refs, diffs."""
