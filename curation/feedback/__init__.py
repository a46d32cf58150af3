"""What people and products say about predictions: events, their log, the table that is made of it."""
