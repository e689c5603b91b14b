"""Communication with a target: addresses, sessions, frames and their limits.

`session` is the interface. For the Taskloader, `taskloader` implements it with `connection` (I/O),
`taskloader_protocol` (state machine), `protocol` (words) and `profile` (documents).
"""
