"""Understand: trials in, small typed tables out."""
