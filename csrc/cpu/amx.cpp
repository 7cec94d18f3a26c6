// AMX: the convolution as tiles of 32 positions by 32 outputs, 4 accumulators of 16 x 16 fp32.
//
// A tile row of inputs is 32 channels of one position, 64 bytes; rows are `x_row` apart, so any
// dilation and stride is a matter of addresses. With TCNFAST_EMULATED_AMX the tile instructions are
// plain loops: it proves everything but the instructions where there is no such processor.
#include "kernels.h"

#if (defined(__AMX_BF16__) || defined(TCNFAST_EMULATED_AMX)) && defined(__AVX512BF16__)
#include "avx512_vectors.h"
#include "conv_halved.h"
#include "train_outer.h"

#ifdef TCNFAST_EMULATED_AMX
#include "emulated_amx.h"
#else
// macros, not functions: the instructions take the number of a tile as an immediate
#define TILE_CONFIGURE(config) _tile_loadconfig(config)
#define TILE_RELEASE() _tile_release()
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, base, stride) _tile_loadd(tile, base, stride)
#define TILE_STORE(tile, base, stride) _tile_stored(tile, base, stride)
#define TILE_DOT(sum, a, b) _tile_dpbf16ps(sum, a, b)
#endif

namespace tcnfast {
namespace {

constexpr int SIDE = 16;         // rows of a tile; fp32 sums in a row of one
constexpr int INPUTS = 32;       // bf16 channels in a row of a tile
constexpr int PANEL = 2 * SIDE;  // outputs of a panel, and rows of a step
constexpr int TILE_BYTES = 1024;
constexpr ptrdiff_t ROW_BYTES = 64;  // of a tile

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void configure() {
  // static: GCC 12 takes the instruction for one that reads 8 bytes, and leaves out the stores of
  // the others to an object on the stack
  static constexpr TileConfig config;
  TILE_CONFIGURE(&config);
}

void release() { TILE_RELEASE(); }

// TileSums of a step of rows and a panel of outputs.
struct TileSums {
  Avx512Bf16::Reg vector(int row, int n) const {
    return Avx512Bf16::load_f32(at + row * PANEL + n * SIDE);
  }
  alignas(64) float at[PANEL * PANEL];
};

// The products of a step of rows, `x_row` apart, with a panel of outputs; of `both` halves of the
// step, or of the first alone.
void multiply_tiles(const char* x, ptrdiff_t x_row, ptrdiff_t x_tap, int taps, int inputs,
                    const char* w, bool both, TileSums& sums) {
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  for (int tap = 0; tap < taps; ++tap, x += x_tap)
    for (int k = 0; k < inputs; k += INPUTS, w += 2 * TILE_BYTES) {
      const char* a = x + k * Avx512Bf16::element_bytes;
      TILE_LOAD(6, w, ROW_BYTES);
      TILE_LOAD(7, w + TILE_BYTES, ROW_BYTES);
      TILE_LOAD(4, a, x_row);
      TILE_DOT(0, 4, 6);
      TILE_DOT(1, 4, 7);
      if (both) {
        TILE_LOAD(5, a + SIDE * x_row, x_row);
        TILE_DOT(2, 5, 6);
        TILE_DOT(3, 5, 7);
      }
    }
  const ptrdiff_t sums_row = PANEL * sizeof(float);
  TILE_STORE(0, sums.at, sums_row);
  TILE_STORE(1, sums.at + SIDE, sums_row);
  if (both) {
    TILE_STORE(2, sums.at + SIDE * PANEL, sums_row);
    TILE_STORE(3, sums.at + SIDE * PANEL + SIDE, sums_row);
  }
}

// Rows of the step that starts at `row`.
int step_rows(const Conv& c, long row) { return c.rows - row < PANEL ? int(c.rows - row) : PANEL; }

ptrdiff_t panel_bytes(int taps, int inputs) {
  return ptrdiff_t(taps) * (inputs / INPUTS) * 2 * TILE_BYTES;
}

template <Epilogue E>
void amx_conv(const Conv& c) {
  using V = Avx512Bf16;
  TileSums sums;
  const char* w = c.weights;
  for (int channel = 0; channel < c.outputs; channel += PANEL) {
    const V::Reg bias[2] = {V::load_f32(c.bias + channel), V::load_f32(c.bias + channel + SIDE)};
    for (long row = 0; row < c.rows; row += PANEL) {
      const int rows = step_rows(c, row);
      multiply_tiles(c.x + row * c.x_row, c.x_row, c.x_tap, c.taps, c.inputs, w, rows > SIDE, sums);
      for (int r = 0; r < rows; ++r)
        for (int n = 0; n < 2; ++n)
          finish<V, E>(c, V::add(sums.vector(r, n), bias[n]), channel + n * SIDE, row + r);
    }
    w += panel_bytes(c.taps, c.inputs);
  }
}

template <Epilogue E>
void amx_conv_halved(const Conv& c) {
  using V = Avx512Bf16;
  TileSums s, d;
  const int half = c.inputs / 2, inputs = c.taps * half;
  const ptrdiff_t to_differences = half / PANEL * panel_bytes(1, inputs);
  const Prepared<V> prepared(c, PANEL);
  for (long row = 0; row < c.rows; row += PANEL) {
    const int rows = step_rows(c, row);
    for (int r = 0; r < rows; ++r) {
      prepared.sums_of(row, r);
      prepared.differences_of(row, r);
    }
    const char* w = c.weights;
    for (int channel = 0; channel < half; channel += PANEL, w += panel_bytes(1, inputs)) {
      multiply_tiles(prepared.sums(row), prepared.row, 0, 1, inputs, w, rows > SIDE, s);
      multiply_tiles(prepared.differences(row), prepared.row, 0, 1, inputs, w + to_differences,
                     rows > SIDE, d);
      for (int r = 0; r < rows; ++r)
        for (int n = 0; n < 2; ++n) {
          const int at = channel + n * SIDE;
          const V::Reg sum = V::add(s.vector(r, n), V::load_f32(c.bias + at));
          finish<V, E>(c, V::add(sum, d.vector(r, n)), at, row + r);
          finish<V, E>(c, V::sub(sum, d.vector(r, n)), half + at, row + r);
        }
    }
  }
}

size_t amx_packed_bytes(int outputs, int padded, int taps) {
  return size_t((outputs + PANEL - 1) / PANEL) * taps * (padded / INPUTS) * 2 * TILE_BYTES;
}

// [panel][tap][32 inputs][16 outputs], a tile of 16 pairs of inputs by 16 outputs each.
void amx_pack(const float* weights, int outputs, int inputs, int padded, int taps, char* packed) {
  for (int channel = 0; channel < outputs; channel += PANEL)
    for (int tap = 0; tap < taps; ++tap)
      for (int k = 0; k < padded; k += INPUTS)
        for (int half = channel; half < channel + PANEL; half += SIDE)
          for (int pair = k; pair < k + INPUTS; pair += 2)
            for (int o = half; o < half + SIDE; ++o)
              for (int i = pair; i < pair + 2; ++i, packed += Avx512Bf16::element_bytes) {
                const bool real = o < outputs && i < inputs;
                const float w = real ? weights[(size_t(o) * inputs + i) * taps + tap] : 0.f;
                Avx512Bf16::store_element(packed, w);
              }
}

double amx_peak(long iterations) {
  alignas(64) static const char zeros[TILE_BYTES] = {};
  configure();
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  TILE_ZERO(4);
  TILE_ZERO(5);
  TILE_LOAD(6, zeros, ROW_BYTES);
  TILE_LOAD(7, zeros, ROW_BYTES);
  for (long i = 0; i < iterations; ++i) {
    TILE_DOT(0, 6, 7);
    TILE_DOT(1, 6, 7);
    TILE_DOT(2, 6, 7);
    TILE_DOT(3, 6, 7);
    TILE_DOT(4, 6, 7);
    TILE_DOT(5, 6, 7);
  }
  release();
  return 6.0 * 2 * SIDE * SIDE * INPUTS * iterations;
}

constexpr HalvedKernels amx_halved_table = {
    PANEL,
    amx_conv_halved<Epilogue::Relu>,
    amx_conv_halved<Epilogue::Residual>,
    amx_conv_halved<Epilogue::ResidualCodes>,
    amx_conv_halved<Epilogue::Plain>,
    pair_sums<Avx512Bf16>,
    column<Avx512Bf16>};

}  // namespace

const Kernels* amx_bf16() {
  static constexpr Kernels table = {Avx512Bf16::element_bytes,
                                    INPUTS,
                                    PANEL,
                                    amx_packed_bytes,
                                    amx_pack,
                                    amx_conv<Epilogue::Relu>,
                                    amx_conv<Epilogue::Residual>,
                                    amx_conv<Epilogue::ResidualCodes>,
                                    amx_conv<Epilogue::Plain>,
                                    amx_conv<Epilogue::Linear>,
                                    lookup<Avx512Bf16, Epilogue::Relu>,
                                    lookup<Avx512Bf16, Epilogue::Plain>,
                                    amx_peak,
                                    configure,
                                    release,
                                    &train_table<Avx512Bf16>,
                                    nullptr,
                                    &amx_halved_table};
  return &table;
}

}  // namespace tcnfast
#else
const tcnfast::Kernels* tcnfast::amx_bf16() { return nullptr; }
#endif
