"""What agents run on: the run's record, prompts, messages, pauses, the budget, model calls, freezing."""
