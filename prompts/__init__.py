"""The text files that tell each agent who it is; loaded by engine.runtime.prompts."""
