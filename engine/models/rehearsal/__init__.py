"""The scripted stand-in for a model, and the playbooks it follows."""
