// Lists of inputs that are not 0: where convolutions over them (sparse.h) are faster.
#pragma once

#include "stack.h"

namespace tcnfast {

// Whether a convolution whose density has been measured is faster over lists.
bool faster_listed(const Stack& stack, const Convolution& convolution);

// Sets the density of every convolution of `stack`, as it is on a fixed random sequence: zeros are
// as frequent there as in a genome, to a few hundredths. Takes the time of scoring 2,048 bases and
// a receptive field.
void measure_density(Stack& stack);

}  // namespace tcnfast
