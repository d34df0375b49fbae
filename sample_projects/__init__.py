"""Small real projects that the rehearsal model can build, each with an intent and a playbook."""
