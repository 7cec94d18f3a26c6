"""What a window may be to a label. Without the rest of genome/, which reads files."""

UNBOUND, BOUND, AMBIGUOUS = 0, 1, 2
