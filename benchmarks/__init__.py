"""Side-by-side measurements, each run by one command; nothing here is imported by the project."""
