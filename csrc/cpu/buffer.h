// Memory on cache-line boundaries.
#pragma once

#include <memory>

namespace tcnfast {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);  // zero-filled
  char* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  size_t size() const { return size_; }
  char* room(size_t bytes);  // data(), of a new buffer where this one is smaller

 private:
  struct Free {
    void operator()(char* p) const;
  };
  std::unique_ptr<char, Free> data_;
  size_t size_ = 0;
};

// A buffer for the time being, of those that calls before left behind: fresh memory costs a page
// fault every 4 KiB. What it holds is whatever it held.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() const { return buffer_.data(); }
  float* floats() const { return buffer_.floats(); }
  unsigned char* bytes() const { return reinterpret_cast<unsigned char*>(buffer_.data()); }

 private:
  Buffer buffer_;
};

}  // namespace tcnfast
