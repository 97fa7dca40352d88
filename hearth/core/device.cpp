#include "hearth/core/device.h"

#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/base/system.h"
#include "hearth/core/available.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"

namespace hearth {

namespace {

constexpr std::string_view kTypes[] = {"cpu", "cuda", "vulkan"};

constexpr int64_t kUndecided = -1;                 // HEARTH_DEVICE decides, at first use
std::atomic<int64_t> default_device_{kUndecided};  // type and index in one word
thread_local std::optional<Stream> ambient;

// By device: the default stream's index, and how many streams there are.
struct Streams {
  int chosen = 0, count = 1;
};
std::mutex streams_mutex;
std::map<std::pair<Device::DeviceType, int>, Streams> streams;

Stream chosen_stream(Device device) {
  std::lock_guard lock(streams_mutex);
  return {streams[{device.type, device.index}].chosen, device};
}

// "cpu, cuda, cuda:1"
std::string devices_there() {
  std::vector<Device> all;
  for (Backend* b : backends())
    for (int i = 0; i < b->device_count(); ++i) all.push_back(Device(b->type(), i));
  return listed(all);
}

}  // namespace

void check_available(Device device, std::string_view who) {
  if (is_available(device)) [[likely]]
    return;
  const int count = device_count(device.type);
  const std::string why =
      count > 0 ? concat("there are ", count, " of that kind") : backend_absence(device.type);
  check(false, who, ": there is no device ", device, why.empty() ? "" : concat(" (", why, ")"),
        "; there are: ", devices_there());
}

std::string to_string(Device device) {
  std::string text(kTypes[size_t(device.type)]);
  return device.index ? text + ":" + std::to_string(device.index) : text;
}
std::string to_string(Stream stream) { return concat(stream.device, "#", stream.index); }

Device parse_device(std::string_view text) {
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  int index = 0;
  bool good = true;
  if (colon != text.npos) {
    const auto digits = text.substr(colon + 1);
    good = !digits.empty() && digits.size() <= 3;
    for (char c : good ? digits : "")
      good = good && c >= '0' && c <= '9', index = index * 10 + (c - '0');
  }
  for (size_t i = 0; good && i < std::size(kTypes); ++i)
    if (kTypes[i] == name) {
      const Device device(Device::DeviceType(i), index);
      check_available(device, "device");
      return device;
    }
  check(false, "device: there is no '", text, "'; there are: ", devices_there());
  return Device::cpu;
}

bool is_available(Device device) {
  return device.index >= 0 && device.index < device_count(device.type);
}
int device_count(Device::DeviceType type) {
  Backend* b = backend(type);
  return b ? b->device_count() : 0;
}
Device default_device() {
  int64_t word = default_device_.load(std::memory_order_relaxed);
  if (word == kUndecided) {
    const char* named = setting("HEARTH_DEVICE");
    set_default_device(named ? parse_device(named) : Device(Device::cpu));
    word = default_device_.load(std::memory_order_relaxed);
  }
  return {Device::DeviceType(word >> 32), int32_t(word)};
}
void set_default_device(Device device) {
  check_available(device, "set_default_device");
  default_device_ = int64_t(device.type) << 32 | device.index;
}

Stream default_stream(Device device) {
  check_available(device, "default_stream");
  return chosen_stream(device);
}
void set_default_stream(Stream stream) {
  check_available(stream.device, "set_default_stream");
  std::lock_guard lock(streams_mutex);
  streams[{stream.device.type, stream.device.index}].chosen = stream.index;
}
Stream new_stream(Device device) {
  check_available(device, "new_stream");
  std::lock_guard lock(streams_mutex);
  return {streams[{device.type, device.index}].count++, device};
}
std::optional<Stream> peek_default_stream(Device device) {
  return is_available(device) ? std::optional(default_stream(device)) : std::nullopt;
}
std::vector<Stream> get_streams() {
  std::vector<Stream> all;
  for (Backend* b : backends())
    for (int i = 0; i < b->device_count(); ++i) {
      std::lock_guard lock(streams_mutex);
      const int count = streams[{b->type(), i}].count;
      for (int k = 0; k < count; ++k) all.push_back({k, Device(b->type(), i)});
    }
  return all;
}
void clear_streams() {
  for (Stream s : get_streams()) synchronize(s);
  std::lock_guard lock(streams_mutex);
  streams.clear();
}

ThreadLocalStream new_thread_local_stream(Device device) {
  check_available(device, "new_thread_local_stream");
  static std::atomic<int> next{0};
  return {next++, device};
}
Stream stream_from_thread_local_stream(ThreadLocalStream stream) {
  thread_local std::map<int, Stream> mine;
  const auto found = mine.find(stream.index);
  if (found != mine.end()) return found->second;
  return mine.emplace(stream.index, new_stream(stream.device)).first->second;
}

Stream to_stream(StreamOrDevice s) {
  StreamScope scope(s);
  return ambient_stream();
}
Stream to_stream(StreamOrDevice s, Device otherwise) {
  if (const auto* stream = std::get_if<Stream>(&s)) return *stream;
  if (const auto* local = std::get_if<ThreadLocalStream>(&s))
    return stream_from_thread_local_stream(*local);
  if (const auto* device = std::get_if<Device>(&s)) otherwise = *device;
  if (const auto* type = std::get_if<Device::DeviceType>(&s)) otherwise = *type;
  return chosen_stream(otherwise);
}
Stream ambient_stream() { return ambient ? *ambient : chosen_stream(default_device()); }

StreamScope::StreamScope(StreamOrDevice s)
    : pushed_(s.index() != 0),
      had_(ambient.has_value()),
      before_(ambient.value_or(Stream{0, Device::cpu})) {
  if (!pushed_) return;
  const Stream stream = to_stream(s, Device::cpu);
  check_available(stream.device, "stream");
  ambient = stream;
}
StreamScope::~StreamScope() {
  if (!pushed_) return;
  if (had_)
    ambient = before_;
  else
    ambient.reset();
}

}  // namespace hearth
