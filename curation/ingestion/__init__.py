"""From files in landing to typed raw records: sources, landing, contract, quarantine, ledger."""
