#include "kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <string.h>

#include "kernel_table.h"

namespace tcnfast {
namespace {

// The bits that are set in a byte, in order.
struct SetBits {
  constexpr SetBits() {
    for (int byte = 0; byte < 256; ++byte)
      for (int bit = 0, n = 0; bit < 8; ++bit)
        if (byte >> bit & 1) lanes[byte][n++] = uint8_t(bit);
  }
  uint8_t lanes[256][8] = {};
};
constexpr SetBits SET_BITS;

struct Avx2Fp32 {
  using Reg = __m256;
  using Weights = __m256;
  static constexpr int lanes = 8, STEP = 1, element_bytes = 4, CHANNELS = 8;
  // 12 sums, 2 weights and an input of 16 registers
  static constexpr int ROWS = 6, VECTORS = 2, OUTER_INPUTS = 4, HALVED_ROWS = 6;

  static Reg load_f32(const float* p) { return _mm256_loadu_ps(p); }
  static void store_f32(float* p, Reg v) { _mm256_storeu_ps(p, v); }
  static Reg load_row(const char* p) { return load_f32(reinterpret_cast<const float*>(p)); }
  static void store_row(char* p, Reg v) { store_f32(reinterpret_cast<float*>(p), v); }
  static void store_element(char* p, float v) { memcpy(p, &v, 4); }
  static Weights load_weights(const char* p) { return load_row(p); }
  static Reg broadcast(const char* p) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
  }
  static Reg madd(Reg sum, Reg a, Weights b) { return _mm256_fmadd_ps(a, b, sum); }
  static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg relu(Reg v) { return _mm256_max_ps(_mm256_setzero_ps(), v); }  // NaN stays NaN
  static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg where_positive(Reg condition, Reg v) {
    return _mm256_and_ps(_mm256_cmp_ps(condition, _mm256_setzero_ps(), _CMP_GT_OQ), v);
  }
  // place + lane of the lanes that are not 0, and how many; writes a whole vector
  static int list_nonzero(const char* p, uint32_t place, uint32_t* out) {
    const int there =
        _mm256_movemask_ps(_mm256_cmp_ps(load_row(p), _mm256_setzero_ps(), _CMP_NEQ_UQ));
    const __m128i lanes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(SET_BITS.lanes[there]));
    const __m256i first = _mm256_set1_epi32(int(place));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_add_epi32(_mm256_cvtepu8_epi32(lanes), first));
    return __builtin_popcount(there);
  }
};

}  // namespace

const Kernels* avx2_fp32() {
  static constexpr Kernels table = kernels<Avx2Fp32>();
  return &table;
}
}  // namespace tcnfast
#else
const tcnfast::Kernels* tcnfast::avx2_fp32() { return nullptr; }
#endif
