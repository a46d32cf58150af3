"""Whether what arrives, and what the champion says of it, still looks like what the champion was trained on. Warns; decides nothing."""
