#include "letter_counts.h"

#include <mutex>

#include "../params.h"
#include "threads.h"

namespace tcnfast {
namespace {

constexpr int PAIRS = N_BASES * N_BASES;

// The counts of one sequence, added to (tap, tap, letter, letter) of taps that are in order.
void count(const TrainKernels& kernels, const uint8_t* codes, long length, int taps,
           std::vector<long>& counts) {
  const long positions = length - taps + 1, words = (length + taps) / 64 + 2;
  std::vector<uint64_t> masks(N_BASES * words);
  for (long t = 0; t < length; ++t)
    if (codes[t] < N_BASES) masks[codes[t] * words + t / 64] |= uint64_t(1) << t % 64;
  for (int lag = 0; lag < taps; ++lag) {
    long here[PAIRS] = {};
    kernels.meetings(masks.data(), words, positions, lag, here);
    const auto add = [&](long t, long sign) {
      if (codes[t] < N_BASES && codes[t + lag] < N_BASES)
        here[codes[t] * N_BASES + codes[t + lag]] += sign;
    };
    for (int tap = 0;; ++tap) {
      long* to = counts.data() + (size_t(tap) * taps + tap + lag) * PAIRS;
      for (int pair = 0; pair < PAIRS; ++pair) to[pair] += here[pair];
      if (tap + lag + 1 == taps) break;
      add(tap, -1);  // windows of the next tap start one position later
      add(tap + positions, 1);
    }
  }
}

}  // namespace

LetterCounts::LetterCounts(const Kernels& kernels, const uint8_t* codes, long sequences, long length,
                           int taps, int threads)
    : width_(N_BASES * taps), counts_(size_t(width_) * width_) {
  std::vector<long> total(size_t(taps) * taps * PAIRS);
  std::mutex mutex;
  share(threads, sequences, [&](Tasks& tasks) {
    std::vector<long> own(total.size());
    for (long n; tasks.take(n);) count(*kernels.train, codes + n * length, length, taps, own);
    std::lock_guard<std::mutex> lock(mutex);
    for (size_t i = 0; i < own.size(); ++i) total[i] += own[i];
  });
  for (int i = 0; i < taps; ++i)
    for (int j = i; j < taps; ++j)
      for (int a = 0; a < N_BASES; ++a)
        for (int b = 0; b < N_BASES; ++b) {
          const int first = a * taps + i, second = b * taps + j;
          const double n = double(total[(size_t(i) * taps + j) * PAIRS + a * N_BASES + b]);
          counts_[size_t(first) * width_ + second] = counts_[size_t(second) * width_ + first] = n;
        }
}

}  // namespace tcnfast
