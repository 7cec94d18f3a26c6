"""What runs a plan or a training pass: the C++ engine and the Triton one."""
