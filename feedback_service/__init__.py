"""The feedback service: takes in over HTTP what people and products say about predictions."""

PORT = 8600
