"""Reads, checks and writes block directories, which hold Studio's arrays."""
