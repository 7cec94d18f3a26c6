#include "lists.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "stream.h"
#include "threads.h"

namespace tcnfast {
namespace {

// Shares of steps up to which lists are taken. They and the dense kernels are as fast at 0.5 to 0.6
// of the steps in fp32 and at 0.65 in bf16, they and the halved ones, which have half of the
// products, at half of that (benchmarks/results/zeros.csv); less, so that a sequence with fewer
// zeros loses nothing.
constexpr double FP32 = 0.45, BF16_PAIRS = 0.55;

constexpr long BASES = 2048;

// Letters as a linear congruential generator draws them (Knuth's MMIX).
std::vector<uint8_t> random_codes(long n) {
  std::vector<uint8_t> codes(n);
  uint64_t state = 1;
  for (uint8_t& code : codes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    code = uint8_t(state >> 62);
  }
  return codes;
}

}  // namespace

bool faster_listed(const Stack& stack, const Convolution& convolution) {
  const double below = stack.kernels.sparse->step == 1 ? FP32 : BF16_PAIRS;
  return convolution.density < (stack.symmetric ? below / 2 : below);
}

void measure_density(Stack& stack) {
  const long scores = std::max(1L, BASES / stack.stride);
  const std::vector<uint8_t> codes =
      random_codes((scores - 1) * stack.stride + stack.receptive_field);
  std::vector<float> logits(scores * stack.labels);
  Stream stream(stack);
  const Entered entered(stack.kernels);
  const std::vector<double> density = stream.densities(codes.data(), scores, logits.data());
  for (size_t i = 0; i < stack.blocks.size(); ++i) {
    if (i > 0) stack.blocks[i].first.density = density[2 * i];
    stack.blocks[i].second.density = density[2 * i + 1];
  }
}

}  // namespace tcnfast
