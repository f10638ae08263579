"""Block directories: Studio's arrays, read, checked and written."""
