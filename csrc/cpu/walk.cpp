#include "walk.h"

#include <algorithm>
#include <cstring>

namespace tcnfast {
namespace {

// Where lists and the dense kernel are as fast, see lists.cpp; the bits are the same.
constexpr double SPARSE_BELOW = 0.6;

}  // namespace

Walk::Walk(const Substitutions& all)
    : all_(all), stack_(all.stack), spaces_(all.levels.size() + 1) {}

void Walk::run(const uint8_t* codes, const int64_t* starts, const int64_t* places,
               const uint8_t* bases, long n, char* before, char* after) {
  codes_ = codes, bases_ = bases, before_ = before, after_ = after;
  std::vector<Window>& windows = spaces_[0].windows;
  windows.clear();
  for (long i = 0; i < n; ++i) {
    const long start = starts[i] - starts[0];
    const bool same = codes[start + places[i]] == bases[i];
    windows.push_back({start, {places[i], places[i] + !same}, 0, i});
  }
  descend(0, windows.back().start + stack_.receptive_field);
}

// All of a sequence's `rows` on one level, and what comes of it on the levels above.
void Walk::descend(size_t level, long rows) {
  Space& here = spaces_[level];
  if (level == all_.levels.size()) return keep(here);
  const long hidden = rows - stack_.blocks[level].first.taps + 1;
  char* h = here.h.room((hidden + ahead()) * row());
  if (level == 0) {
    stack_.look_up(codes_, hidden, stack_.kernels.lookup, words_, h);
  } else {
    list(here.x.data(), rows, of_x_);
    convolve(level, 1, {here.x.data(), of_x_, 0, hidden, h});
  }
  list(h, hidden, here.of_h);
  for (long phase = 0; phase < 2; ++phase) divide(level, phase);
}

// Follow the windows that begin at even, or odd, positions: those together that overlap.
void Walk::divide(size_t level, long phase) {
  const std::vector<Window>& windows = spaces_[level].windows;
  std::vector<Window>& above = spaces_[level + 1].windows;
  above.clear();
  for (size_t i = 0; i < windows.size(); ++i) {
    if (windows[i].start % 2 != phase) continue;
    const long start = windows[i].start / 2;
    if (!above.empty() && start >= above.back().start + all_.levels[level].outputs) {
      follow(level, phase);
      above.clear();
    }
    above.push_back({start, {}, long(i), windows[i].number});
  }
  if (!above.empty()) follow(level, phase);
}

// The block's outputs that the windows of the level above need, as they are and as they move.
void Walk::follow(size_t level, long phase) {
  Space &here = spaces_[level], &above = spaces_[level + 1];
  const long first = above.windows.front().start, from = phase + 2 * first;
  const long rows = above.windows.back().start - first + all_.levels[level].outputs;
  const long tap = from + stack_.blocks[level].tap;
  Task task{here.h.data(), here.of_h, from, rows, above.x.room((rows + ahead()) * row())};
  if (level == 0)
    task.codes = codes_ + tap;
  else
    task.residual = here.x.data() + tap * row();
  convolve(level, 2, task);

  const ptrdiff_t below = most_moved(level) * row(), each = most_moved(level + 1) * row();
  char* moved = above.moved.room(above.windows.size() * each);
  for (Window& window : above.windows) {
    const char* inputs = here.moved.data() + window.parent * below;
    window.moved = substitute(level, here.windows[window.parent], inputs, moved);
    moved += each;
    window.start -= first;
  }
  descend(level + 1, rows);
}

// The outputs of a block that a base moves, from the inputs `moved` that it moves.
Span Walk::substitute(size_t level, const Window& window, const char* moved, char* out) {
  const Substitutions::Level& size = all_.levels[level];
  const Block& block = stack_.blocks[level];
  const long reach1 = block.first.taps - 1, reach2 = block.second.taps - 1;
  const Span any = reached(window.moved, reach1, 1, size.hidden);
  const Span y = reached(any, reach2, 2, size.outputs);
  if (y.size() == 0) return {};
  const Span h{2 * y.first, 2 * (y.end - 1) + reach2 + 1};  // what y reads
  const Span changed{std::max(any.first, h.first), std::min(any.end, h.end)};
  const long tap = 2 * y.first + block.tap;
  const Span x{std::min(changed.first, tap),
               std::max(changed.end + reach1, tap + 2 * (y.size() - 1) + 1)};

  char* slab = slab_h_.room((h.size() + ahead()) * row());
  std::memcpy(slab, spaces_[level].h.data() + (window.start + h.first) * row(), h.size() * row());
  substitute_first(level, window, moved, x, changed, slab + (changed.first - h.first) * row());
  list(slab, h.size(), of_slab_);
  Task task{slab, of_slab_, 0, y.size(), out};
  if (level == 0)
    task.codes = slab_codes_.data() + tap - x.first;
  else
    task.residual = slab_x_.data() + (tap - x.first) * row();
  convolve(level, 2, task);
  return y;
}

// The rows `changed` of the first convolution, from the inputs `x` with those that moved in place.
void Walk::substitute_first(size_t level, const Window& window, const char* moved, Span x,
                            Span changed, char* out) {
  if (level == 0) {
    slab_codes_.assign(codes_ + window.start + x.first, codes_ + window.start + x.end);
    slab_codes_[window.moved.first - x.first] = bases_[window.number];
    stack_.look_up(slab_codes_.data() + changed.first - x.first, changed.size(),
                   stack_.kernels.lookup, words_, out);
    return;
  }
  char* slab = slab_x_.room((x.size() + ahead()) * row());
  std::memcpy(slab, spaces_[level].x.data() + (window.start + x.first) * row(), x.size() * row());
  const Span over{std::max(x.first, window.moved.first), std::min(x.end, window.moved.end)};
  std::memcpy(slab + (over.first - x.first) * row(),
              moved + (over.first - window.moved.first) * row(), over.size() * row());
  list(slab, x.size(), of_x_);
  convolve(level, 1, {slab, of_x_, changed.first - x.first, changed.size(), out});
}

// Features of windows, of which the top level has a row each.
void Walk::keep(const Space& top) {
  const ptrdiff_t each = most_moved(all_.levels.size()) * row();
  for (size_t i = 0; i < top.windows.size(); ++i) {
    const Window& window = top.windows[i];
    const char* same = top.x.data() + window.start * row();
    const char* other = window.moved.size() ? top.moved.data() + i * each : same;
    std::memcpy(before_ + window.number * row(), same, row());
    std::memcpy(after_ + window.number * row(), other, row());
  }
}

// The first or the second convolution of a block, sparse where that is faster.
void Walk::convolve(size_t level, int which, const Task& task) {
  const Block& block = stack_.blocks[level];
  const Convolution& convolution = which == 1 ? block.first : block.second;
  Conv c{};
  c.x = task.x;
  c.x_row = which * row();
  c.x_tap = row();
  c.taps = convolution.taps;
  c.inputs = c.outputs = stack_.padded;
  c.bias = convolution.bias.floats();
  c.out = task.out;
  c.out_row = row();
  c.rows = task.rows;
  c.residual = task.residual;
  c.residual_row = 2 * row();
  c.codes = task.codes;
  c.codes_row = 2;
  c.code_rows = stack_.code_residual.floats();

  const std::vector<uint32_t>& begins = task.of_x.begins;
  const long end = task.from + (task.rows - 1) * which + c.taps;
  const Kernels& k = stack_.kernels;
  c.weights = convolution.weights.data();
  if (begins[end] - begins[task.from] < SPARSE_BELOW * (end - task.from) * c.inputs) {
    const SparseConv s{c, task.of_x.places.data(), begins.data(), task.from, which, 1};
    if (which == 1) return k.sparse->conv_relu(s);
    return task.codes ? k.sparse->conv_residual_codes(s) : k.sparse->conv_residual(s);
  }
  c.x += task.from * row();
  if (which == 1) return k.conv_relu(c);
  return task.codes ? k.conv_residual_codes(c) : k.conv_residual(c);
}

void Walk::list(const char* x, long rows, Nonzero& out) const {
  constexpr size_t VECTOR = 16;  // what a kernel may write too far
  const size_t places = rows * stack_.padded + VECTOR;
  if (out.places.size() < places) out.places.resize(places);
  if (out.begins.size() < size_t(rows) + 1) out.begins.resize(rows + 1);
  stack_.kernels.sparse->list(x, rows, stack_.padded, out.places.data(), out.begins.data());
}

// Rows of a level's inputs that one base moves, at most.
long Walk::most_moved(size_t level) const {
  long rows = 1;
  for (size_t i = 0; i < level; ++i) {
    const Block& block = stack_.blocks[i];
    rows = (rows + block.first.taps + block.second.taps - 3) / 2 + 1;
  }
  return rows;
}

}  // namespace tcnfast
