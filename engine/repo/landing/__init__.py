"""From finished work to trunk: merging, group commit, history, publishing, housekeeping."""
