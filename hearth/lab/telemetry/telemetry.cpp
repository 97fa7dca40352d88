#include "hearth/lab/telemetry/telemetry.h"

#include <time.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "hearth/base/error.h"

namespace hearth::lab {

struct Sampler::State {
  TelemetryList sources;
  Clock::duration period;
  Clock::time_point origin;
  Timeline empty;  // the channels, with no samples

  std::mutex mutex;  // of what follows
  std::condition_variable wake;
  bool stopping = false;
  Timeline timeline;
  std::thread thread;  // the last: it uses the rest

  double since_origin(Clock::time_point now) const {
    return std::chrono::duration<double>(now - origin).count();
  }

  static double cpu_seconds() {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return double(spent.tv_sec) + double(spent.tv_nsec) * 1e-9;
  }

  void run() {
    for (auto& source : sources) source->sample(since_origin(Clock::now()));  // rates begin here
    double cpu = cpu_seconds();
    auto next = Clock::now() + period;
    std::unique_lock lock(mutex);
    while (!wake.wait_until(lock, next, [&] { return stopping; })) {
      lock.unlock();
      const double now = since_origin(Clock::now());
      std::vector<Reading<double>> readings;
      for (auto& source : sources)
        for (auto& reading : source->sample(now)) readings.push_back(std::move(reading));
      lock.lock();
      timeline.time_s.push_back(now);
      for (size_t i = 0; i < readings.size(); ++i) {
        timeline.channels[i].values.push_back(readings[i].value);
        if (!readings[i].value) timeline.channels[i].reason = std::move(readings[i].reason);
      }
      const double cpu_now = cpu_seconds();
      *timeline.sampler_cpu_s.value += cpu_now - cpu;
      cpu = cpu_now;
      // A late sample does not make the next ones hurry.
      next = std::max(next + period, Clock::now() + period / 2);
    }
  }

  Timeline take() {
    std::lock_guard lock(mutex);
    return std::exchange(timeline, empty);
  }
};

Sampler::Sampler(TelemetryList sources, double period_s, Clock::time_point origin) {
  check(period_s >= 1e-3 && period_s <= 3600, "telemetry: a period of ", period_s,
        " s; wanted 0.001 to 3600");
  state_ = std::make_unique<State>();
  State& state = *state_;
  state.sources = std::move(sources);
  state.period =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(period_s));
  state.origin = origin;
  for (auto& source : state.sources)
    for (const Field& field : source->fields())
      state.empty.channels.push_back(
          {field.name, field.unit, std::string(source->source()), "", {}});
  state.empty.sampler_cpu_s = 0.0;
  state.timeline = state.empty;
  state.thread = std::thread([&state] { state.run(); });
}

Sampler::~Sampler() { stop(); }

Timeline Sampler::take() { return state_->take(); }

Timeline Sampler::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  if (state_->thread.joinable()) state_->thread.join();
  return state_->take();
}

}  // namespace hearth::lab
