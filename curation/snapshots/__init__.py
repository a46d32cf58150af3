"""Training snapshots: frozen rows, their digest, manifest, card and the difference between two versions."""
