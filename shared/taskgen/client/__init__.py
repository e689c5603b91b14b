"""What the command line asks a lab of services."""
