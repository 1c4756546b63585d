"""Numbered SQL files, one series a database; `PRAGMA user_version` says how far a file has come."""
