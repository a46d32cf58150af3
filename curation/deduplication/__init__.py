"""Exact and near duplicates, decided once and in order."""
