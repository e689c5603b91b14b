"""Decides when runs are over, and retries task-sets whose run had no result."""
