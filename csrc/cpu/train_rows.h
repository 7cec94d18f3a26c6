// What training does to rows between convolutions, written once over a vector type V (see conv.h).
// All arithmetic is fp32; sums over rows are fp32 within a block of rows and fp64 beyond.
#pragma once

#include "kernels.h"

namespace tcnfast {
namespace {

inline constexpr int WIDE = 4;  // vectors of channels taken together
template <int... N>
struct Indices {};

inline constexpr long ROW_BLOCK = 64;  // rows whose sums are fp32

template <class V>
inline void add_to(double* sums, typename V::Reg value) {
  float lanes[V::lanes];
  V::store_f32(lanes, value);
  for (int i = 0; i < V::lanes; ++i) sums[i] += lanes[i];
}

// One vector of channels of rows next to each other in memory.
template <class V>
struct Column {
  ptrdiff_t row_bytes, at;
  Column(int channels, int channel)
      : row_bytes(ptrdiff_t(channels) * V::element_bytes), at(channel * V::element_bytes) {}
  typename V::Reg load(const char* rows, long row) const {
    return V::load_row(rows + row * row_bytes + at);
  }
  void store(char* rows, long row, typename V::Reg value) const {
    V::store_row(rows + row * row_bytes + at, value);
  }
};

template <class V>
struct Active {
  typename V::Reg scale, shift, mask, mean;
  Active(const Activation& a, int channel)
      : scale(V::load_f32(a.scale + channel)),
        shift(V::load_f32(a.shift + channel)),
        mask(V::load_f32(a.mask + channel)),
        mean(V::load_f32(a.mean + channel)) {}
  typename V::Reg normalised(typename V::Reg a) const { return V::fma(a, scale, shift); }
  typename V::Reg operator()(typename V::Reg a) const {
    return V::mul(V::relu(normalised(a)), mask);
  }
  typename V::Reg gradient(typename V::Reg a, typename V::Reg g) const {
    return V::where_positive(normalised(a), V::mul(g, mask));
  }
};

template <class V>
struct NormBack {
  typename V::Reg by_grad, by_input, constant;
  NormBack(const NormGradient& n, int channel)
      : by_grad(V::load_f32(n.by_grad + channel)),
        by_input(V::load_f32(n.by_input + channel)),
        constant(V::load_f32(n.constant + channel)) {}
  typename V::Reg operator()(typename V::Reg g, typename V::Reg a) const {
    return V::fma(g, by_grad, V::fma(a, by_input, constant));
  }
};

// Two sums over rows that go to fp64 at the end of a block.
template <class V>
struct Sums {
  double *to_sum, *to_products;
  typename V::Reg sum{}, products{};
  Sums(double* sum, double* products, int channel)
      : to_sum(sum + channel), to_products(products + channel) {}
  void add(typename V::Reg a, typename V::Reg b) {
    sum = V::add(sum, a);
    products = V::fma(a, b, products);
  }
  void finish() {
    add_to<V>(to_sum, sum);
    add_to<V>(to_products, products);
  }
};

// What is done to rows is a body for each vector of channels: body(row) for the rows of a block in
// order, then body.finish(). WIDE of them go down the rows together, so that memory is read from
// front to back.
template <class V, class Make, int... N>
inline void run_bodies(long from, long to, int channel, Make make, Indices<N...>) {
  decltype(make(0)) bodies[] = {make(channel + N * V::lanes)...};
  for (long row = from; row < to; ++row) (bodies[N](row), ...);
  (bodies[N].finish(), ...);
}

template <class V, class Make>
inline void each_row(long rows, int channels, Make make) {
  for (long from = 0; from < rows; from += ROW_BLOCK) {
    const long to = from + ROW_BLOCK < rows ? from + ROW_BLOCK : rows;
    int channel = 0;
    for (; channel + WIDE * V::lanes <= channels; channel += WIDE * V::lanes)
      run_bodies<V>(from, to, channel, make, Indices<0, 1, 2, 3>());
    for (; channel < channels; channel += V::lanes)
      run_bodies<V>(from, to, channel, make, Indices<0>());
  }
}

// A body that keeps nothing.
template <class F>
struct Each {
  F f;
  void operator()(long row) const { f(row); }
  void finish() const {}
};
template <class F>
Each(F) -> Each<F>;

template <class V>
void sum(const char* a, long rows, int channels, double* total) {
  struct Body {
    Column<V> column;
    const char* a;
    double* to;
    typename V::Reg sum{};
    void operator()(long r) { sum = V::add(sum, column.load(a, r)); }
    void finish() { add_to<V>(to, sum); }
  };
  each_row<V>(rows, channels,
              [=](int channel) { return Body{{channels, channel}, a, total + channel}; });
}

template <class V>
void squares(const char* a, const float* mean, long rows, int channels, double* total) {
  struct Body {
    Column<V> column;
    const char* a;
    double* to;
    typename V::Reg mean, sum{};
    void operator()(long r) {
      const auto v = V::sub(column.load(a, r), mean);
      sum = V::fma(v, v, sum);
    }
    void finish() { add_to<V>(to, sum); }
  };
  each_row<V>(rows, channels, [=](int channel) {
    return Body{{channels, channel}, a, total + channel, V::load_f32(mean + channel)};
  });
}

template <class V>
void activate(const char* a, Activation activation, char* out, long rows, int channels) {
  each_row<V>(rows, channels, [=](int channel) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    return Each{[=](long r) { column.store(out, r, active(column.load(a, r))); }};
  });
}

template <class V>
void combine(const char* a, Activation activation, const char* residual, ptrdiff_t residual_row,
             char* out, long rows, int channels) {
  each_row<V>(rows, channels, [=](int channel) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    return Each{[=](long r) {
      const auto x = V::load_row(residual + r * residual_row + column.at);
      column.store(out, r, V::relu(V::add(active(column.load(a, r)), x)));
    }};
  });
}

template <class V>
void combine_codes(const char* a, Activation activation, const uint8_t* codes, ptrdiff_t codes_row,
                   const float* code_rows, char* out, long rows, int channels) {
  each_row<V>(rows, channels, [=](int channel) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    return Each{[=](long r) {
      const auto x = V::load_f32(code_rows + codes[r * codes_row] * channels + channel);
      column.store(out, r, V::relu(V::add(active(column.load(a, r)), x)));
    }};
  });
}

template <class V>
void branch_sums(const char* dy, const char* y, const char* a, Activation activation, long rows,
                 int channels, double* sum, double* products) {
  struct Body : Sums<V> {
    Column<V> column;
    Active<V> active;
    const char *dy, *y, *a;
    void operator()(long r) {
      const auto dz = V::where_positive(column.load(y, r), column.load(dy, r));
      const auto v = column.load(a, r);
      this->add(active.gradient(v, dz), V::sub(v, active.mean));
    }
  };
  each_row<V>(rows, channels, [=](int channel) {
    return Body{{sum, products, channel}, {channels, channel}, {activation, channel}, dy, y, a};
  });
}

template <class V>
void branch_gradient(const char* dy, const char* y, const char* a, Activation activation,
                     NormGradient norm, char* da, long rows, int channels) {
  each_row<V>(rows, channels, [=](int channel) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    const NormBack<V> back(norm, channel);
    return Each{[=](long r) {
      const auto dz = V::where_positive(column.load(y, r), column.load(dy, r));
      const auto v = column.load(a, r);
      column.store(da, r, back(active.gradient(v, dz), v));
    }};
  });
}

template <class V>
void inner_gradient(char* dh, const char* a, Activation activation, long rows, int channels,
                    double* sum, double* products) {
  struct Body : Sums<V> {
    Column<V> column;
    Active<V> active;
    char* dh;
    const char* a;
    void operator()(long r) {
      const auto v = column.load(a, r);
      const auto g = active.gradient(v, column.load(dh, r));
      this->add(g, V::sub(v, active.mean));
      column.store(dh, r, g);
    }
  };
  each_row<V>(rows, channels, [=](int channel) {
    return Body{{sum, products, channel}, {channels, channel}, {activation, channel}, dh, a};
  });
}

template <class V>
void norm_gradient(const char* g, const char* a, NormGradient norm, char* da, long rows,
                   int channels) {
  each_row<V>(rows, channels, [=](int channel) {
    const Column<V> column(channels, channel);
    const NormBack<V> back(norm, channel);
    return Each{[=](long r) { column.store(da, r, back(column.load(g, r), column.load(a, r))); }};
  });
}

template <class V>
void add_residual(const char* dy, const char* y, char* dx, ptrdiff_t dx_row, long rows,
                  int channels) {
  each_row<V>(rows, channels, [=](int channel) {
    const Column<V> column(channels, channel);
    return Each{[=](long r) {
      char* at = dx + r * dx_row + column.at;
      const auto dz = V::where_positive(column.load(y, r), column.load(dy, r));
      V::store_row(at, V::add(V::load_row(at), dz));
    }};
  });
}

template <class V>
inline void add_row(float* sums, typename V::Reg value) {
  V::store_f32(sums, V::add(V::load_f32(sums), value));
}

// Half of the channels at a time: their part of the table stays in the first-level cache.
template <class V>
void sum_words(const char* da, const uint8_t* words, float* table, long rows, int channels) {
  constexpr int BLOCK = 32;
  for (int from = 0; from < channels; from += BLOCK) {
    const int to = from + BLOCK < channels ? from + BLOCK : channels;
    for (long r = 0; r < rows; ++r)
      for (int channel = from; channel < to; channel += V::lanes)
        add_row<V>(table + ptrdiff_t(words[r]) * channels + channel,
                   Column<V>(channels, channel).load(da, r));
  }
}

template <class V>
void sum_codes(const char* dy, const char* y, const uint8_t* codes, ptrdiff_t codes_row,
               float* table, long rows, int channels) {
  for (long r = 0; r < rows; ++r)
    for (int channel = 0; channel < channels; channel += V::lanes) {
      const Column<V> column(channels, channel);
      add_row<V>(table + codes[r * codes_row] * channels + channel,
                 V::where_positive(column.load(y, r), column.load(dy, r)));
    }
}

// Written once for the instructions that count bits, which the rest of the program must not use.
template <class V>
void meetings(const uint64_t* masks, long words, long positions, long lag, long* counts) {
  constexpr int LETTERS = 4;
  const long ahead = lag / 64, bits = lag % 64;
  for (long w = 0; w * 64 < positions; ++w) {
    const long left = positions - w * 64;
    const uint64_t valid = left < 64 ? (uint64_t(1) << left) - 1 : ~uint64_t(0);
    for (int b = 0; b < LETTERS; ++b) {
      const uint64_t* from = masks + b * words + w + ahead;
      const uint64_t there = (from[0] >> bits | from[1] << 1 << (63 - bits)) & valid;
      for (int a = 0; a < LETTERS; ++a)
        counts[a * LETTERS + b] += __builtin_popcountll(masks[a * words + w] & there);
    }
  }
}

}  // namespace
}  // namespace tcnfast
