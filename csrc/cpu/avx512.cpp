#include "kernels.h"

#ifdef __AVX512F__
#include "avx512_vectors.h"
#include "kernel_table.h"

namespace tcnfast {
const Kernels* avx512_fp32() {
  static constexpr Kernels table = kernels<Avx512Fp32>();
  return &table;
}
}  // namespace tcnfast
#else
const tcnfast::Kernels* tcnfast::avx512_fp32() { return nullptr; }
#endif
