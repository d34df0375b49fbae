"""Ways to let many agents work on one repository, with the same scripted agents, for `bench_alternatives`."""
