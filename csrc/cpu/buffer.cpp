#include "buffer.h"

#include <cstring>
#include <mutex>
#include <new>
#include <vector>

namespace tcnfast {
namespace {

constexpr size_t CACHE_LINE = 64;

struct Pool {
  std::mutex mutex;
  std::vector<Buffer> idle;
};

Pool& pool() {
  static Pool* const shared = new Pool;  // never destroyed: threads may outlive static objects
  return *shared;
}

}  // namespace

Buffer::Buffer(size_t bytes) : size_((bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE) {
  if (size_ == 0) return;
  data_.reset(static_cast<char*>(::operator new(size_, std::align_val_t(CACHE_LINE))));
  std::memset(data_.get(), 0, size_);
}

char* Buffer::room(size_t bytes) {
  if (size_ < bytes) *this = Buffer(bytes);
  return data();
}

void Buffer::Free::operator()(char* p) const { ::operator delete(p, std::align_val_t(CACHE_LINE)); }

Scratch::Scratch(size_t bytes) {
  {
    std::lock_guard<std::mutex> lock(pool().mutex);
    std::vector<Buffer>& idle = pool().idle;
    for (size_t i = 0; i < idle.size(); ++i)
      if (idle[i].size() >= bytes && idle[i].size() <= 2 * bytes + CACHE_LINE) {
        buffer_ = std::move(idle[i]);
        idle.erase(idle.begin() + i);
        return;
      }
  }
  buffer_ = Buffer(bytes);
}

Scratch::~Scratch() {
  constexpr size_t MOST = 64;  // idle buffers
  std::lock_guard<std::mutex> lock(pool().mutex);
  if (pool().idle.size() < MOST) pool().idle.push_back(std::move(buffer_));
}

}  // namespace tcnfast
