"""Which bases a score rests on."""
