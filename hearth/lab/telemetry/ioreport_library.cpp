// The calls of IOReport, CoreFoundation and IOKit that we need. All that they say is bounded before
// it is kept.
#include "hearth/lab/telemetry/ioreport_library.h"

#include <dlfcn.h>

#include <array>
#include <type_traits>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/base/fields.h"

namespace hearth::lab {
namespace {

using Ref = const void*;  // of any object of CoreFoundation

constexpr long kMostChannels = 4096, kMostBytes = 4096;
constexpr int32_t kMostStates = 256;
constexpr uint32_t kUtf8 = 0x08000100;

// The members have the names of the functions, by which they are found.
struct CoreFoundation {
  void (*CFRelease)(Ref);
  unsigned long (*CFGetTypeID)(Ref);
  unsigned long (*CFArrayGetTypeID)();
  unsigned long (*CFDataGetTypeID)();
  long (*CFArrayGetCount)(Ref);
  Ref (*CFArrayGetValueAtIndex)(Ref, long);
  long (*CFDataGetLength)(Ref);
  const uint8_t* (*CFDataGetBytePtr)(Ref);
  Ref (*CFDictionaryGetValue)(Ref, Ref key);
  Ref (*CFDictionaryCreateMutableCopy)(Ref allocator, long capacity, Ref);
  Ref (*CFStringCreateWithCString)(Ref allocator, const char*, uint32_t encoding);
  unsigned char (*CFStringGetCString)(Ref, char* to, long bytes, uint32_t encoding);
  HEARTH_FIELDS(CFRelease, CFGetTypeID, CFArrayGetTypeID, CFDataGetTypeID, CFArrayGetCount,
                CFArrayGetValueAtIndex, CFDataGetLength, CFDataGetBytePtr, CFDictionaryGetValue,
                CFDictionaryCreateMutableCopy, CFStringCreateWithCString, CFStringGetCString)
};

struct IoKit {
  Ref (*IOServiceNameMatching)(const char*);
  uint32_t (*IOServiceGetMatchingService)(uint32_t port, Ref matching);  // releases `matching`
  Ref (*IORegistryEntryCreateCFProperty)(uint32_t entry, Ref key, Ref allocator, uint32_t options);
  int (*IOObjectRelease)(uint32_t);
  HEARTH_FIELDS(IOServiceNameMatching, IOServiceGetMatchingService, IORegistryEntryCreateCFProperty,
                IOObjectRelease)
};

// As powermetrics calls them: no header of these is public.
struct Reports {
  Ref (*IOReportCopyChannelsInGroup)(Ref group, Ref subgroup, uint64_t, uint64_t, uint64_t);
  Ref (*IOReportCreateSubscription)(void*, Ref channels, Ref* subscribed, uint64_t, Ref);
  Ref (*IOReportCreateSamples)(Ref subscription, Ref subscribed, Ref);
  Ref (*IOReportCreateSamplesDelta)(Ref before, Ref after, Ref);
  Ref (*IOReportChannelGetChannelName)(Ref);
  Ref (*IOReportChannelGetUnitLabel)(Ref);
  int64_t (*IOReportSimpleGetIntegerValue)(Ref, int32_t* error);
  int32_t (*IOReportStateGetCount)(Ref);
  Ref (*IOReportStateGetNameForIndex)(Ref, int32_t);
  int64_t (*IOReportStateGetResidency)(Ref, int32_t);
  HEARTH_FIELDS(IOReportCopyChannelsInGroup, IOReportCreateSubscription, IOReportCreateSamples,
                IOReportCreateSamplesDelta, IOReportChannelGetChannelName,
                IOReportChannelGetUnitLabel, IOReportSimpleGetIntegerValue, IOReportStateGetCount,
                IOReportStateGetNameForIndex, IOReportStateGetResidency)
};

class Library {
 public:
  ~Library() {
    if (handle_) dlclose(handle_);
  }
  /// "" or why not all of `functions` are there.
  template <class Functions>
  std::string open(const std::string& path, Functions& functions) {
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle_) {
      const char* said = dlerror();
      return concat("no IOReport: ", said ? said : path);
    }
    std::string lacking;
    functions.fields([&](const char* name, auto& function) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle_, name));
      if (!function && lacking.empty()) lacking = concat("no IOReport: ", path, " lacks ", name);
    });
    return lacking;
  }

 private:
  void* handle_ = nullptr;
};

// An object that is ours to release.
class Owned {
 public:
  Owned() = default;
  Owned(Ref object, void (*release)(Ref)) : object_(object), release_(release) {}
  Owned(Owned&& other) noexcept
      : object_(std::exchange(other.object_, nullptr)), release_(other.release_) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(object_, other.object_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~Owned() {
    if (object_) release_(object_);
  }
  Ref get() const { return object_; }
  explicit operator bool() const { return object_; }

 private:
  Ref object_ = nullptr;
  void (*release_)(Ref) = nullptr;
};

}  // namespace

struct IoReport::State {
  Library of_foundation, of_iokit, of_reports;  // the last to go: the objects are theirs
  CoreFoundation cf{};
  IoKit io{};
  Reports reports{};

  // A group of channels that is sampled at once.
  struct Group {
    std::string name, reason;
    Owned channels, subscription, subscribed, last;
  };
  Group energy, cpu, gpu;

  Owned own(Ref object) const { return {object, cf.CFRelease}; }
  Owned text(const std::string& of) const {
    return own(cf.CFStringCreateWithCString(nullptr, of.c_str(), kUtf8));
  }
  std::string text_of(Ref string) const {
    std::array<char, 256> bytes{};
    if (!string || !cf.CFStringGetCString(string, bytes.data(), long(bytes.size()), kUtf8))
      return "";
    bytes.back() = 0;
    return bytes.data();
  }

  Group subscribe(const std::string& name, const char* subgroup) const {
    Group group;
    group.name = name;
    const Owned of_group = text(name), of_subgroup = subgroup ? text(subgroup) : Owned();
    const Owned found =
        own(reports.IOReportCopyChannelsInGroup(of_group.get(), of_subgroup.get(), 0, 0, 0));
    if (!found) {
      group.reason =
          concat("IOReport has no group ", name, subgroup ? ": " : "", subgroup ? subgroup : "");
      return group;
    }
    group.channels = own(cf.CFDictionaryCreateMutableCopy(nullptr, 0, found.get()));
    Ref subscribed = nullptr;
    group.subscription = own(
        reports.IOReportCreateSubscription(nullptr, group.channels.get(), &subscribed, 0, nullptr));
    group.subscribed = own(subscribed);
    if (!group.subscription || !group.subscribed)
      group.reason = concat("IOReport refuses to sample ", name);
    return group;
  }

  // What a channel is not asked for, the library need not answer: numbers have no states.
  IoChannel channel_of(Ref channel, bool with_states) const {
    IoChannel one;
    one.name = text_of(reports.IOReportChannelGetChannelName(channel));
    one.unit = text_of(reports.IOReportChannelGetUnitLabel(channel));
    one.unit.erase(one.unit.find_last_not_of(' ') + 1);  // they are padded
    if (!with_states) {
      one.value = reports.IOReportSimpleGetIntegerValue(channel, nullptr);
      return one;
    }
    const int32_t states = reports.IOReportStateGetCount(channel);
    if (states > kMostStates) return one;
    for (int32_t i = 0; i < states; ++i)
      one.states.emplace_back(text_of(reports.IOReportStateGetNameForIndex(channel, i)),
                              reports.IOReportStateGetResidency(channel, i));
    return one;
  }

  Channels take(Group& group) const {
    if (!group.reason.empty()) return Channels::missing(group.reason);
    const Owned before =
        std::exchange(group.last, own(reports.IOReportCreateSamples(
                                      group.subscription.get(), group.subscribed.get(), nullptr)));
    if (!group.last) return Channels::missing(concat("IOReport gives no sample of ", group.name));
    if (!before) return Channels::missing("a rate needs a second sample");
    const Owned delta =
        own(reports.IOReportCreateSamplesDelta(before.get(), group.last.get(), nullptr));
    const Owned key = text("IOReportChannels");
    const Ref list = delta && key ? cf.CFDictionaryGetValue(delta.get(), key.get()) : nullptr;
    if (!list || cf.CFGetTypeID(list) != cf.CFArrayGetTypeID())
      return Channels::missing(concat("IOReport's sample of ", group.name, " has no channels"));
    const long count = cf.CFArrayGetCount(list);
    if (count < 0 || count > kMostChannels)
      return Channels::missing(
          concat("IOReport's sample of ", group.name, " claims ", count, " channels"));
    std::vector<IoChannel> found;
    for (long i = 0; i < count; ++i)
      if (const Ref channel = cf.CFArrayGetValueAtIndex(list, i))
        found.push_back(channel_of(channel, &group != &energy));
    return found;
  }
};

IoReport::IoReport(const IoReportLibraries& libraries) : state_(std::make_unique<State>()) {
  State& s = *state_;
  for (const std::string& lacking : {s.of_reports.open(libraries.ioreport, s.reports),
                                     s.of_foundation.open(libraries.core_foundation, s.cf),
                                     s.of_iokit.open(libraries.iokit, s.io)})
    if (reason_.empty()) reason_ = lacking;
  if (!reason_.empty()) return;
  s.energy = s.subscribe("Energy Model", nullptr);
  s.cpu = s.subscribe("CPU Stats", "CPU Core Performance States");
  s.gpu = s.subscribe("GPU Stats", "GPU Performance States");
}

IoReport::~IoReport() = default;

IoReport::Sample IoReport::take() {
  if (!reason_.empty()) {
    const auto none = Channels::missing(reason_);
    return {none, none, none};
  }
  State& s = *state_;
  return {s.take(s.energy), s.take(s.cpu), s.take(s.gpu)};
}

Reading<std::vector<uint8_t>> IoReport::power_manager(const std::string& property) const {
  using Bytes = Reading<std::vector<uint8_t>>;
  if (!reason_.empty()) return Bytes::missing(reason_);
  const State& s = *state_;
  const uint32_t node = s.io.IOServiceGetMatchingService(0, s.io.IOServiceNameMatching("pmgr"));
  if (node == 0) return Bytes::missing("the registry has no pmgr");
  const Owned key = s.text(property);
  const Owned data =
      key ? s.own(s.io.IORegistryEntryCreateCFProperty(node, key.get(), nullptr, 0)) : Owned();
  s.io.IOObjectRelease(node);
  if (!data) return Bytes::missing(concat("pmgr has no ", property));
  if (s.cf.CFGetTypeID(data.get()) != s.cf.CFDataGetTypeID())
    return Bytes::missing(concat("pmgr's ", property, " is not data"));
  const long length = s.cf.CFDataGetLength(data.get());
  const uint8_t* bytes = s.cf.CFDataGetBytePtr(data.get());
  if (!bytes || length < 0 || length > kMostBytes)
    return Bytes::missing(concat("pmgr's ", property, " has ", length, " bytes"));
  return std::vector<uint8_t>(bytes, bytes + length);
}

}  // namespace hearth::lab
