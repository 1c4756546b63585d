"""Alembic's scripts for central's database; run by `database.migrate`."""
