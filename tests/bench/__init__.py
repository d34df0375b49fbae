"""Benchmarks: each compares within one run, prints a table, and ends with one line of JSON.

`python -m tests.bench NAME [OPTION…]` runs one, without a name all. A bench is a module `bench_NAME.py` that can be
run as a program; it is found by its name, and runs in a process of its own.
"""
