"""The craft of curation as a library: ingestion, text, duplicates, snapshots, learning.

Knows nothing of Dagster, dbt or HTTP, and nothing of any one dataset: what a function needs to know of reviews or tickets
is handed to it as a `curation.dataset.Dataset`, a `Source` or a policy.
"""
