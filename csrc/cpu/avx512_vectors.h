// AVX-512 vectors for conv.h: fp32, and pairs of bf16 where the processor multiplies them.
#pragma once

#include <immintrin.h>
#include <string.h>

namespace tcnfast {
namespace {

inline int compress(__mmask16 there, uint32_t place, uint32_t* out) {
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i places = _mm512_add_epi32(lanes, _mm512_set1_epi32(int(place)));
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(there, places));
  return __builtin_popcount(there);
}

struct Avx512Fp32 {
  using Reg = __m512;
  using Weights = __m512;
  static constexpr int lanes = 16, STEP = 1, element_bytes = 4, CHANNELS = 16;
  // 28 sums, 2 weights and an input fill the 32 registers
  static constexpr int ROWS = 14, VECTORS = 2, OUTER_INPUTS = 8, HALVED_ROWS = 14;

  static Reg load_f32(const float* p) { return _mm512_loadu_ps(p); }
  static void store_f32(float* p, Reg v) { _mm512_storeu_ps(p, v); }
  static Reg load_row(const char* p) { return load_f32(reinterpret_cast<const float*>(p)); }
  static void store_row(char* p, Reg v) { store_f32(reinterpret_cast<float*>(p), v); }
  static void store_element(char* p, float v) { memcpy(p, &v, 4); }
  static Weights load_weights(const char* p) { return _mm512_loadu_ps(p); }
  static Reg broadcast(const char* p) { return _mm512_set1_ps(*reinterpret_cast<const float*>(p)); }
  static Reg madd(Reg sum, Reg a, Weights b) { return _mm512_fmadd_ps(a, b, sum); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  // NaN stays NaN. Masked, all lanes: of the plain form gcc 12 says that it reads what nobody wrote
  static Reg relu(Reg v) { return _mm512_maskz_max_ps(0xffff, _mm512_setzero_ps(), v); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg where_positive(Reg condition, Reg v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(condition, _mm512_setzero_ps(), _CMP_GT_OQ), v);
  }
  // place + lane of the lanes that are not 0, and how many; writes a whole vector
  static int list_nonzero(const char* p, uint32_t place, uint32_t* out) {
    return compress(_mm512_test_epi32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32(0x7fffffff)),
                    place, out);
  }
};

#ifdef __AVX512BF16__
struct Avx512Bf16 {
  using Reg = __m512;
  using Weights = __m512bh;
  static constexpr int lanes = 16, STEP = 2, element_bytes = 2, CHANNELS = 16;
  static constexpr int ROWS = 14, VECTORS = 2, OUTER_INPUTS = 8;
  static constexpr int HALVED_ROWS = 10;  // and 12 registers for what goes on beside the products

  static Reg load_f32(const float* p) { return _mm512_loadu_ps(p); }
  static void store_f32(float* p, Reg v) { _mm512_storeu_ps(p, v); }
  static Reg load_row(const char* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    // masked as relu below, and for its reason
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, halves);
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, wide, 16));
  }
  static void store_row(char* p, Reg v) {
    const __m256bh rounded = _mm512_cvtneps_pbh(v);
    memcpy(p, &rounded, 32);
  }
  // 32 channels, even ones and odd ones apart: nothing is shuffled, and both are rounded at once.
  // They are stored in this order.
  struct EvenOdd {
    static constexpr int CHANNELS = 32;
    __m512 even, odd;
    static EvenOdd load(const char* p) {
      const __m512i pairs = _mm512_loadu_si512(p);
      return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
              _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(int(0xffff0000))))};
    }
    void store(char* p) const {
      const __m512bh rounded = _mm512_cvtne2ps_pbh(odd, even);
      memcpy(p, &rounded, 64);
    }
    EvenOdd operator+(EvenOdd b) const {
      return {_mm512_add_ps(even, b.even), _mm512_add_ps(odd, b.odd)};
    }
    EvenOdd operator-(EvenOdd b) const {
      return {_mm512_sub_ps(even, b.even), _mm512_sub_ps(odd, b.odd)};
    }
  };
  static void store_element(char* p, float v) {
    const __m128bh rounded = _mm_cvtneps_pbh(_mm_set_ss(v));
    memcpy(p, &rounded, 2);
  }
  static Weights load_weights(const char* p) { return (__m512bh)_mm512_loadu_si512(p); }
  static __m512bh broadcast(const char* p) {
    int pair;
    memcpy(&pair, p, 4);
    return (__m512bh)_mm512_set1_epi32(pair);
  }
  // pairs (first[i], second[i]); a missing second row is zeros
  static void store_pairs(char* out, const char* first, const char* second) {
    const auto widen = [](const char* p) {
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    };
    __m512i pairs = widen(first);
    if (second) pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(widen(second), 16));
    _mm512_storeu_si512(out, pairs);
  }
  static void store_pairs(char* out, Reg first, Reg second) {
    const __m512i lanes = _mm512_setr_epi32(0x100000, 0x110001, 0x120002, 0x130003, 0x140004,
                                            0x150005, 0x160006, 0x170007, 0x180008, 0x190009,
                                            0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e,
                                            0x1f000f);
    const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(lanes, rounded));
  }
  static Reg madd(Reg sum, __m512bh a, Weights b) { return _mm512_dpbf16_ps(sum, a, b); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  // NaN stays NaN. Masked, all lanes: of the plain form gcc 12 says that it reads what nobody wrote
  static Reg relu(Reg v) { return _mm512_maskz_max_ps(0xffff, _mm512_setzero_ps(), v); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg where_positive(Reg condition, Reg v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(condition, _mm512_setzero_ps(), _CMP_GT_OQ), v);
  }
  // place + lane of the pairs that are not 0, and how many; writes a whole vector
  static int list_nonzero(const char* p, uint32_t place, uint32_t* out) {
    return compress(_mm512_test_epi32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32(0x7fff7fff)),
                    place, out);
  }
};
#endif

}  // namespace
}  // namespace tcnfast
