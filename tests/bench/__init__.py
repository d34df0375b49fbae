"""Benchmarks: each compares within one run, prints a table, and ends with one line of JSON.

`python -m tests.bench NAME` runs one, without a name all. A bench is a module `bench_NAME.py` with a function
`run(options: list[str]) -> Report`; it is found by its name.
"""
