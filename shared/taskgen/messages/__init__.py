"""What the services say to each other; knows nothing of how it is carried."""
