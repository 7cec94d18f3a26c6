// One residual block in training: forward, and the gradients of everything that went in.
//
// Layer by layer, not depth first: a batch norm needs all positions of the batch before the next
// layer may start. Kept for the backward pass are what both convolutions give, before their norms
// (but for the look-ups of the first block), and the block's output; the rest is computed again,
// span by span, in the second-level cache.
// Sums over positions are cut by the shapes alone: results do not depend on the number of threads.
#pragma once

#include <stdint.h>

#include "kernels.h"

namespace tcnfast {

struct BlockShape {
  long sequences, length;  // of the input, in positions of its grid; of the codes, in bases
  int channels;
  int taps1, taps2;
  long dilation, stride, tap;  // as in BlockParams; a stride over 1 has dilation 1
  bool codes;                  // the input is DNA: the first block
  bool batch_norm;             // else convolutions have biases and norms do nothing
  double eps;

  long reach1() const { return (taps1 - 1) * dilation; }
  long reach2() const { return (taps2 - 1) * dilation; }
  long length1() const { return length - reach1(); }
  long length2() const { return (length1() - 1 - reach2()) / stride + 1; }
};

// Rows are (sequences, positions, padded channels) of the kernels' elements; the rest is fp32 with
// `channels` channels. Null where there is none.
struct BlockTensors {
  const char* x;                                 // rows of length
  const uint8_t* codes;                          // (sequences, length), 0 to 4
  const float *weight1, *weight2;                // (channels, inputs, taps)
  const float *gain1, *shift1, *gain2, *shift2;  // of the batch norms; without, shifts are biases
  const float *mask1, *mask2;  // (sequences, channels), what dropout multiplies by; or null
  const float* code_residual;  // (5, channels)
  char *a1, *a2, *y;  // rows of length1, length2, length2; of codes no a1: it is looked up again
  float *mean1, *var1, *mean2, *var2;  // of the batch norms, var biased
};

struct BlockGradients {
  const char* dy;   // rows of length2
  char* dx;         // rows of length; null for codes
  float* one_hot;   // of codes (sequences, length, 4): the gradient of their one-hot form; or null
  char* workspace;  // rows of length1
  // all null where only the input's gradient is wanted; of what is not there, null
  float *weight1, *weight2, *gain1, *shift1, *gain2, *shift2, *code_residual;
};

// Throws std::invalid_argument for a code over 4 and for shapes that leave no position.
void block_forward(const Kernels&, const BlockShape&, const BlockTensors&, int threads);
void block_backward(const Kernels&, const BlockShape&, const BlockTensors&, const BlockGradients&,
                    int threads);

}  // namespace tcnfast
