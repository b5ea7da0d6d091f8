"""The catalog: every capture, delivery, study, decision, receipt and event, in one SQLite file or on PostgreSQL."""
