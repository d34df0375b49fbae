"""What a run's record tells: summary, report, exports, questions answered by a model."""
