"""Ration effort: who may go on, who stops."""
