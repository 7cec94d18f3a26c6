// The tile instructions of amx.cpp as plain loops, for tests on processors without them: 8 tiles of
// 16 rows of 64 bytes, as amx.cpp configures them.
#pragma once

#include <stdint.h>
#include <string.h>

namespace tcnfast {
namespace {

thread_local char emulated_tiles[8][16][64];

inline float emulated_bf16(const char* p) {
  uint16_t high;
  memcpy(&high, p, 2);
  const uint32_t bits = uint32_t(high) << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

inline void emulated_load(int tile, const void* base, ptrdiff_t stride) {
  for (int r = 0; r < 16; ++r)
    memcpy(emulated_tiles[tile][r], static_cast<const char*>(base) + r * stride, 64);
}

inline void emulated_store(int tile, void* base, ptrdiff_t stride) {
  for (int r = 0; r < 16; ++r)
    memcpy(static_cast<char*>(base) + r * stride, emulated_tiles[tile][r], 64);
}

// sum[m][n] += a[m][2k] b[k][2n] + a[m][2k+1] b[k][2n+1], over the 16 pairs k in order
inline void emulated_dot(int sum, int a, int b) {
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 16; ++n) {
      float total;
      memcpy(&total, emulated_tiles[sum][m] + 4 * n, 4);
      for (int i = 0; i < 32; ++i)
        total += emulated_bf16(emulated_tiles[a][m] + 2 * i) *
                 emulated_bf16(emulated_tiles[b][i / 2] + 4 * n + 2 * (i % 2));
      memcpy(emulated_tiles[sum][m] + 4 * n, &total, 4);
    }
}

}  // namespace
}  // namespace tcnfast

#define TILE_CONFIGURE(config) (void)(config)
#define TILE_RELEASE()
#define TILE_ZERO(tile) memset(emulated_tiles[tile], 0, sizeof emulated_tiles[tile])
#define TILE_LOAD(tile, base, stride) emulated_load(tile, base, stride)
#define TILE_STORE(tile, base, stride) emulated_store(tile, base, stride)
#define TILE_DOT(sum, a, b) emulated_dot(sum, a, b)
