"""Bots: checked, kept, read and removed."""
