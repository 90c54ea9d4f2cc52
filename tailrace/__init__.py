"""Tailrace: change-data-capture beside legacy databases. This package imports nothing itself."""
