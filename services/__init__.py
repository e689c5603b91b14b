"""The services of the lab, each started by `python -m services.<name>`."""
