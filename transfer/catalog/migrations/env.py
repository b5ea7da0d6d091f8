"""Alembic's entry: runs the migrations on the connection it is handed."""

from alembic import context

from transfer.catalog.box_tables import reading

context.configure(
    connection=context.config.attributes["connection"], target_metadata=reading.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
