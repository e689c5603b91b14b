"""Communication with a target: its address, its session, its frames and what they may contain.

`session` is the interface. For the Taskloader, `taskloader` implements it with `connection` (I/O),
`taskloader_protocol` (state machine), `protocol` (words) and `profile` (documents).
"""
