"""Alembic migrations, configured in code by `transfer.catalog.database`."""
