"""Tests of the engine, the screen and the two together, their simulated world, and the benches."""
