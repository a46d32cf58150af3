"""Alerts: what a person must know, told once per cause until it recovers. Knows no notifier, no Dagster and no clock.

`causes`: what is wrong, from facts. `harmless`: data made safe to send. `book`: what is open, what waits for which receiver.
`telling`: the words of a message, and one tick. Sending is `resources.notifier`.
"""
