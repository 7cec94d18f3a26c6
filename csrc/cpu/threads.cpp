#include "threads.h"

#include <pthread.h>

namespace tcnfast {
namespace {

std::atomic<bool> was_forked{false};
const int registered = pthread_atfork(nullptr, nullptr, [] { was_forked = true; });

}  // namespace

bool forked() { return registered == 0 && was_forked; }

}  // namespace tcnfast
