"""Kafka as a target: messages and checkpoint in one transaction."""
