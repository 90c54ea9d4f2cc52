"""Measures the line beside PostgreSQL's own limits, in one run and on the same data."""
