#include "kernels.h"

#ifdef __AVX512BF16__
#include "avx512_vectors.h"
#include "kernel_table.h"

namespace tcnfast {
const Kernels* avx512_bf16() {
  static constexpr Kernels table = kernels<Avx512Bf16>();
  return &table;
}
}  // namespace tcnfast
#else
const tcnfast::Kernels* tcnfast::avx512_bf16() { return nullptr; }
#endif
