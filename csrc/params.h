// A folded stack as plain data, fp32, as tcnfast/engines/cpu_engine.py hands it over. All arrays are C-ordered
// and only read while a backend packs them.
#pragma once

#include <vector>

namespace tcnfast {

inline constexpr int N_CODES = 5;  // A C G T N
inline constexpr int N_BASES = 4;

// One residual block on its grids. Dilation, stride and tap count positions of the block's input.
struct BlockParams {
  int taps1, taps2;      // kernel sizes
  long dilation;         // of both convolutions
  long stride;           // of the second
  long tap;              // offset of the residual from the first input an output reads
  const float* weight1;  // (channels, 4 in the first block, else channels, taps1)
  const float* bias1;    // (channels)
  const float* weight2;  // (channels, channels, taps2)
  const float* bias2;    // (channels)
};

struct StackParams {
  int channels, labels;
  bool symmetric = false;      // all of it is its own mirror image; scored in halved form
  long stride;                 // bases between scores
  long sample;                 // of how many of the stack's outputs one is wanted
  long receptive_field;        // bases
  const float* code_residual;  // (5, channels): what block 0 adds for each code
  const float* head_weight;    // (labels, channels)
  const float* head_bias;      // (labels)
  std::vector<BlockParams> blocks;
};

}  // namespace tcnfast
