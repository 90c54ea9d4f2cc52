"""Kafka's protocol for sinks and sources: connections, transactions, records in columns.

`protocol` says what there is; `python` (kafka-python) and `confluent` are the two ways to it.
"""
