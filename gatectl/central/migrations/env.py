"""Alembic's entry: runs the scripts on the connection that `database.migrate` hands over, inside its transaction."""

from alembic import context

from gatectl.central.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, with the transaction that `database.writing` has begun
)
context.run_migrations()
