"""Periodic, idempotent work beside the stages: one file, one function each."""
