"""Sensors of the loop: facts, a pure decision, Dagster objects."""
