// MLX's scheduler.h, in front of hearth: tasks in the order of a stream.
#pragma once
#include <functional>
#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "mlx.h"

namespace hearth::scheduler {
inline void enqueue(Stream stream, std::function<void()> task) {
  hearth::enqueue(stream, std::move(task));
}
}  // namespace hearth::scheduler
