"""Reports on a run: summary, report, exports, and questions that a model answers."""
