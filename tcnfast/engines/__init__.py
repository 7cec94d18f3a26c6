"""What computes: grids, the reference, plans and operators, the C++ engine and the Triton
engine."""
