"""Run: every way of running is a ``concurrent.futures.Executor``."""
