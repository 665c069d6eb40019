"""Measurements: each prints a table with the floor and the service side by side, taken in one run."""
