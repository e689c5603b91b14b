"""The parts of the lab that run as processes of their own, each by `python -m services.<name>`."""
