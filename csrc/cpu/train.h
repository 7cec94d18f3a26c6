// One residual block in training: forward, and the gradients of everything that went in.
//
// Layer by layer, not depth first: a batch norm needs all positions of the batch before the next
// layer may start. Kept for the backward pass are what both convolutions give, before their norms
// (but for the look-ups of the first block), and the block's output; the rest is computed again,
// span by span, in the second-level cache.
// Sums over positions are cut by the shapes alone: results do not depend on the number of threads.
// Where processes share a batch, statistics of norms and what their gradients need are of all of it;
// gradients of parameters are those of this process's positions, to be added up.
#pragma once

#include <functional>

#include "block_arguments.h"
#include "kernels.h"

namespace tcnfast {

// Adds numbers up over the processes that share a batch, in place; empty where there is one alone.
using AddUp = std::function<void(double* values, long count)>;

// Throw std::invalid_argument for an argument that is missing, a code over 4 and shapes that leave no
// position.
void block_forward(const Kernels&, const BlockArguments&, int threads, const AddUp& = {});
void block_backward(const Kernels&, const BlockArguments&, int threads, const AddUp& = {});

}  // namespace tcnfast
