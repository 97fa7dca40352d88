// Where an operation runs: devices, streams, and the ambient choice. Values, comparable, printable.
#pragma once
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace hearth {

struct Device {
  enum class DeviceType : uint8_t { cpu, cuda, vulkan };
  static constexpr DeviceType cpu = DeviceType::cpu;
  static constexpr DeviceType cuda = DeviceType::cuda;
  static constexpr DeviceType vulkan = DeviceType::vulkan;
  static constexpr DeviceType gpu = cuda;  // MLX's name

  constexpr Device(DeviceType type, int index = 0) : type(type), index(index) {}
  auto operator<=>(const Device&) const = default;

  DeviceType type;
  int index;
};

/// Operations of one stream run in order; streams run beside each other and wait where data flows.
struct Stream {
  int index;
  Device device;
  bool operator==(const Stream&) const = default;
  bool operator<(const Stream& other) const {
    return std::pair(device, index) < std::pair(other.device, other.index);
  }
};

/// Another stream on each thread that uses it.
struct ThreadLocalStream {
  int index;
  Device device;
  bool operator==(const ThreadLocalStream&) const = default;
};

using StreamOrDevice =
    std::variant<std::monostate, Stream, Device, Device::DeviceType, ThreadLocalStream>;
/// The stream that it names; empty: the ambient one, or the default one of `otherwise`.
Stream to_stream(StreamOrDevice s);
Stream to_stream(StreamOrDevice s, Device otherwise);

std::string to_string(Device device);  // "cpu", "cuda:1"
std::string to_string(Stream stream);
std::ostream& operator<<(std::ostream& out, Device device);
std::ostream& operator<<(std::ostream& out, Stream stream);
/// The reverse of to_string(Device); throws naming the devices there are.
Device parse_device(std::string_view text);

bool is_available(Device device);
int device_count(Device::DeviceType type);
/// The first CPU, unless HEARTH_DEVICE names another.
Device default_device();
void set_default_device(Device device);

Stream default_stream(Device device);
void set_default_stream(Stream stream);  // of its device
Stream new_stream(Device device);
/// The same: every stream of hearth may be used by any thread.
inline Stream new_thread_unsafe_stream(Device device) { return new_stream(device); }
ThreadLocalStream new_thread_local_stream(Device device);
Stream stream_from_thread_local_stream(ThreadLocalStream stream);
/// The default stream, if the device is there.
std::optional<Stream> peek_default_stream(Device device);
/// Those of every device there is.
std::vector<Stream> get_streams();
/// Waits for all work, and forgets every stream but the default ones: new ones reuse their queues.
void clear_streams();
/// The stream that an operation built now, on this thread, will use.
Stream ambient_stream();

/// While it lives, operations built on this thread without a stream of their own go to `s`; an
/// empty `s` changes nothing.
class StreamScope {
 public:
  explicit StreamScope(StreamOrDevice s);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  bool pushed_;
  bool had_;
  Stream before_;
};
using StreamContext = StreamScope;

}  // namespace hearth
