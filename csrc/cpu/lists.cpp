#include "lists.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "stream.h"
#include "threads.h"

namespace tcnfast {
namespace {

// Lists and the dense kernels are as fast at about 0.6 of the steps, lists and the halved ones,
// which have half of the products, at about 0.3 (benchmarks/results/zeros.csv). Below that, so that
// a sequence with more of them loses nothing.
constexpr double DIRECT = 0.45, HALVED = 0.25;

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
  return convolution.density < (stack.symmetric ? HALVED : DIRECT);
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
