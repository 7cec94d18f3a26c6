// No intrinsics: 16-byte vectors as GCC and Clang know them, SSE2 on x86-64 and NEON on arm64.
#include <string.h>

#include "kernel_table.h"

namespace tcnfast {
namespace {

struct Generic {
  typedef float Reg __attribute__((vector_size(16)));
  using Weights = Reg;
  static constexpr int lanes = 4, STEP = 1, element_bytes = 4, CHANNELS = 4;
  static constexpr int ROWS = 6, VECTORS = 2, OUTER_INPUTS = 4, HALVED_ROWS = 6;

  static Reg load_f32(const float* p) {
    Reg v;
    memcpy(&v, p, 16);
    return v;
  }
  static void store_f32(float* p, Reg v) { memcpy(p, &v, 16); }
  static Reg load_row(const char* p) { return load_f32(reinterpret_cast<const float*>(p)); }
  static void store_row(char* p, Reg v) { memcpy(p, &v, 16); }
  static void store_element(char* p, float v) { memcpy(p, &v, 4); }
  static Weights load_weights(const char* p) { return load_row(p); }
  static Reg broadcast(const char* p) {
    const float v = *reinterpret_cast<const float*>(p);
    return Reg{v, v, v, v};
  }
  static Reg madd(Reg sum, Reg a, Weights b) { return sum + a * b; }
  static Reg add(Reg a, Reg b) { return a + b; }
  static Reg sub(Reg a, Reg b) { return a - b; }
  static Reg relu(Reg v) { return v < 0.f ? Reg{} : v; }  // NaN stays NaN
  static Reg mul(Reg a, Reg b) { return a * b; }
  static Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }
  static Reg where_positive(Reg condition, Reg v) { return condition > 0.f ? v : Reg{}; }
  // place + lane of the lanes that are not 0, and how many
  static int list_nonzero(const char* p, uint32_t place, uint32_t* out) {
    float values[lanes];
    memcpy(values, p, sizeof values);
    int n = 0;
    for (int lane = 0; lane < lanes; ++lane) {
      out[n] = place + lane;
      n += values[lane] != 0.f;
    }
    return n;
  }
};

}  // namespace

const Kernels* generic_fp32() {
  static constexpr Kernels table = kernels<Generic>();
  return &table;
}
}  // namespace tcnfast
