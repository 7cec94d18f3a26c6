// One residual block in training: forward, and the gradients of everything that went in.
//
// Layer by layer, not depth first: a batch norm needs all positions of the batch before the next
// layer may start. Kept for the backward pass are what both convolutions give, before their norms
// (but for the look-ups of the first block), and the block's output; the rest is computed again,
// span by span, in the second-level cache.
// Sums over positions are cut by the shapes alone: results do not depend on the number of threads.
#pragma once

#include "block_arguments.h"
#include "kernels.h"

namespace tcnfast {

// Throw std::invalid_argument for an argument that is missing, a code over 4 and shapes that leave no
// position.
void block_forward(const Kernels&, const BlockArguments&, int threads);
void block_backward(const Kernels&, const BlockArguments&, int threads);

}  // namespace tcnfast
