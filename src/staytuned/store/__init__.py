"""Remembers: every fact, claim and blob, in memory or in SQLite."""
