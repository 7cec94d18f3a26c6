// Work shared among threads; the first failure is thrown by the call.
//
// Where the compiler has OpenMP they are its threads: with GCC's library those of PyTorch, which
// spin for a while after PyTorch's own work and would hold up any others. Elsewhere, and in a
// process that was forked, where OpenMP's threads are gone, they come and go with the call.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels.h"

namespace tcnfast {

// Hands out 0, 1, ..., total - 1.
class Tasks {
 public:
  explicit Tasks(long total) : total_(total) {}
  bool take(long& task) { return (task = next_++) < total_; }
  void stop() { next_ = total_; }

 private:
  const long total_;
  std::atomic<long> next_{0};
};

// Whether this process was forked after the module was loaded.
bool forked();

// Runs worker(tasks), which takes tasks until none is left, in up to `threads` threads.
template <class Worker>
void share(int threads, long total, Worker worker) {
  Tasks tasks(total);
  std::mutex mutex;
  std::exception_ptr failure;
  const auto fail = [&] {
    tasks.stop();
    std::lock_guard<std::mutex> lock(mutex);
    if (!failure) failure = std::current_exception();
  };
  const auto work = [&] {
    try {
      worker(tasks);
    } catch (...) {
      fail();
    }
  };
  const int wanted = int(std::min<long>(threads, total));
#ifdef _OPENMP
  if (wanted > 1 && !forked()) {
#pragma omp parallel num_threads(wanted)
    work();
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  std::vector<std::thread> helpers;
  try {
    for (int i = 1; i < wanted; ++i) helpers.emplace_back(work);
  } catch (...) {  // no thread to be had: stop those that started, then say so
    fail();
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

// What a thread does before its first and after its last call of the kernels.
class Entered {
 public:
  explicit Entered(const Kernels& kernels) : kernels_(kernels) {
    if (kernels_.enter) kernels_.enter();
  }
  ~Entered() {
    if (kernels_.leave) kernels_.leave();
  }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  const Kernels& kernels_;
};

}  // namespace tcnfast
