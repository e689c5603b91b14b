"""The conversation with a target: its protocol, its frames, its addresses."""
