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

void Walk::run(const uint8_t* codes, const Runs& runs, char* before, char* after) {
  codes_ = codes, bases_ = runs.bases, before_ = before, after_ = after;
  std::vector<Group>& groups = spaces_[0].groups;
  groups.clear();
  long number = 0, rows = 0;
  for (long i = 0; i < runs.n; ++i) {
    const long start = runs.starts[i] - runs.starts[0], place = runs.places[i];
    const bool same = codes[start + place] == runs.bases[i];
    groups.push_back(
        {start, runs.counts[i], runs.step, {place, place + !same}, 0, 0, i, number, 1});
    number += runs.counts[i];
    rows = std::max(rows, start + groups.back().rows(stack_.receptive_field));
  }
  descend(0, rows);
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
  const std::vector<Group>& groups = spaces_[level].groups;
  std::vector<Group>& above = spaces_[level + 1].groups;
  above.clear();
  long end = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i];
    const bool together = group.count == 1 || group.step % 2 == 0;
    const long ahead = group.start % 2 != phase;  // windows of the other phase before the first
    if (ahead && together) continue;
    Group part = group;
    part.parent = long(i), part.moved = {};
    part.shift = ahead * group.step;
    part.start = (group.start + part.shift) / 2;
    part.number += ahead * group.next;
    if (together) {
      part.step /= 2;
    } else {
      part.count = (group.count - ahead + 1) / 2;
      part.next *= 2;
    }
    if (!above.empty() && part.start >= end) {
      follow(level, phase);
      above.clear();
      end = 0;
    }
    above.push_back(part);
    end = std::max(end, part.start + part.rows(all_.levels[level].outputs));
  }
  if (!above.empty()) follow(level, phase);
}

// The block's outputs that the windows of the level above need, as they are and as they move.
void Walk::follow(size_t level, long phase) {
  Space &here = spaces_[level], &above = spaces_[level + 1];
  const long first = above.groups.front().start, from = phase + 2 * first;
  long rows = 0;
  for (const Group& group : above.groups)
    rows = std::max(rows, group.start - first + group.rows(all_.levels[level].outputs));
  const long tap = from + stack_.blocks[level].tap;
  Task task{here.h.data(), here.of_h, from, rows, above.x.room((rows + ahead()) * row())};
  if (level == 0)
    task.codes = codes_ + tap;
  else
    task.residual = here.x.data() + tap * row();
  convolve(level, 2, task);

  const ptrdiff_t below = most_moved(level) * row(), each = most_moved(level + 1) * row();
  char* moved = above.moved.room(above.groups.size() * each);
  for (Group& group : above.groups) {
    // as it lies on this level
    const Group& whole = here.groups[group.parent];
    Group part = group;
    part.start = whole.start + group.shift, part.step = 2 * group.step;
    part.moved = {whole.moved.first - group.shift, whole.moved.end - group.shift};
    const char* inputs = here.moved.data() + group.parent * below;
    group.moved = substitute(level, part, inputs, moved);
    moved += each;
    group.start -= first;
  }
  descend(level + 1, rows);
}

// The outputs of a block that a base moves, from the inputs `moved` that it moves.
Span Walk::substitute(size_t level, Group group, const char* moved, char* out) {
  if (group.moved.end <= 0) return {};
  if (group.moved.first < 0) {  // rows before the first window
    moved -= group.moved.first * row();
    group.moved.first = 0;
  }
  const Substitutions::Level& size = all_.levels[level];
  const Block& block = stack_.blocks[level];
  const long reach1 = block.first.taps - 1, reach2 = block.second.taps - 1;
  const Span any = reached(group.moved, reach1, 1, group.rows(size.hidden));
  const Span y = reached(any, reach2, 2, size.outputs + (group.count - 1) * group.step / 2);
  if (y.size() == 0) return {};
  const Span h{2 * y.first, 2 * (y.end - 1) + reach2 + 1};  // what y reads
  const Span changed{std::max(any.first, h.first), std::min(any.end, h.end)};
  const long tap = 2 * y.first + block.tap;
  const Span x{std::min(changed.first, tap),
               std::max(changed.end + reach1, tap + 2 * (y.size() - 1) + 1)};

  char* slab = slab_h_.room((h.size() + ahead()) * row());
  std::memcpy(slab, spaces_[level].h.data() + (group.start + h.first) * row(), h.size() * row());
  substitute_first(level, group, moved, x, changed, slab + (changed.first - h.first) * row());
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
void Walk::substitute_first(size_t level, const Group& group, const char* moved, Span x,
                            Span changed, char* out) {
  if (level == 0) {
    slab_codes_.assign(codes_ + group.start + x.first, codes_ + group.start + x.end);
    slab_codes_[group.moved.first - x.first] = bases_[group.run];
    stack_.look_up(slab_codes_.data() + changed.first - x.first, changed.size(),
                   stack_.kernels.lookup, words_, out);
    return;
  }
  char* slab = slab_x_.room((x.size() + ahead()) * row());
  std::memcpy(slab, spaces_[level].x.data() + (group.start + x.first) * row(), x.size() * row());
  const Span over{std::max(x.first, group.moved.first), std::min(x.end, group.moved.end)};
  std::memcpy(slab + (over.first - x.first) * row(),
              moved + (over.first - group.moved.first) * row(), over.size() * row());
  list(slab, x.size(), of_x_);
  convolve(level, 1, {slab, of_x_, changed.first - x.first, changed.size(), out});
}

// Features of windows, of which the top level has a row each.
void Walk::keep(const Space& top) {
  const ptrdiff_t each = most_moved(all_.levels.size()) * row();
  for (size_t i = 0; i < top.groups.size(); ++i) {
    const Group& group = top.groups[i];
    const char* moved = top.moved.data() + i * each;
    for (long j = 0; j < group.count; ++j) {
      const long at = j * group.step, number = group.number + j * group.next;
      const char* same = top.x.data() + (group.start + at) * row();
      const bool moves = at >= group.moved.first && at < group.moved.end;
      std::memcpy(before_ + number * row(), same, row());
      std::memcpy(after_ + number * row(),
                  moves ? moved + (at - group.moved.first) * row() : same, row());
    }
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
