"""Lineage of rows: from a prediction back to the raw records that taught its model, and from a record, person or batch forward.

`explaining` looks back, `impact` looks forward, `telling` puts either into words. Reads the public files of a home, writes nothing.
"""
