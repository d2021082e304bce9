"""Pure values and rules: no I/O, no clock, no random numbers, no database, no protocol."""
