"""Writes the results of a run for the user: report.html, tables and pictures."""
