"""Requests of the command line to a lab of services."""
