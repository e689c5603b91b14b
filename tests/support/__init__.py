"""What the tests share; each module says what it is."""
