"""Decides when runs are over, and what becomes of task-sets whose run had no result."""
