"""Alembic's entry: runs the migrations on the connection it is handed."""

from alembic import context

from transfer.catalog.scanner_tables import raw_store

context.configure(
    connection=context.config.attributes["connection"], target_metadata=raw_store.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
