"""Alembic runs this for every upgrade; the connection, and the transaction around it, are the caller's."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table=given["version_table"])
context.run_migrations()
