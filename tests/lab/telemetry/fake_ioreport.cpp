// libIOReport, CoreFoundation and IOKit for tests, in one library. fake_ioreport(what) sets which
// Mac it is, or what is wrong with it; fake_ioreport_objects() counts the objects that live.
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

using std::string;

enum Kind { text, data, list, dictionary, other };
long objects = 0;

struct Object {
  explicit Object(Kind k) : kind(k) { ++objects; }
  ~Object();
  Object(const Object&) = delete;
  Kind kind;
  int holders = 1;
  string bytes;                                // of a text or data
  std::vector<Object*> items;                  // of a list: channels
  std::vector<std::pair<string, Object*>> by;  // of a dictionary
  // Of a channel: what it counts in a tick, and its texts, which it keeps.
  std::vector<std::pair<string, int64_t>> states;
  int64_t value = 0;
  std::vector<Object*> texts;
};

void release(Object* object) {
  if (object && --object->holders == 0) delete object;
}
Object::~Object() {
  --objects;
  for (Object* item : items) release(item);
  for (auto& [key, value_of] : by) release(value_of);
  for (Object* one : texts) release(one);
}
Object* text_of(const string& bytes) {
  auto* object = new Object(text);
  object->bytes = bytes;
  return object;
}

string mode = "m1_max";
int samples = 0;

bool is(const char* what) { return mode == what; }

using States = std::vector<std::pair<string, int64_t>>;

// Name and unit are the first texts, names of states the others.
Object* channel(const string& name, const string& unit, int64_t value, const States& states) {
  auto* object = new Object(dictionary);
  object->value = value;
  object->states = states;
  object->texts = {text_of(name), text_of(unit)};
  for (const auto& state : states) object->texts.push_back(text_of(state.first));
  return object;
}

// A core that is idle for 60 ticks of 100 and down for none, and active for the rest.
Object* core(const string& name, int64_t slow, int64_t fast) {
  return channel(name, "24Mticks", 0,
                 {{"DOWN", 0}, {"IDLE", 100 - slow - fast}, {"V0P1", slow}, {"V1P0", fast}});
}

std::vector<Object*> energy() {
  if (is("strange unit")) return {channel("CPU Energy", "W", 4, {})};
  if (is("goes back")) return {channel("CPU Energy", "mJ", -4, {})};
  if (is("slow counters") && samples % 3 != 1)
    return {channel("CPU Energy", "mJ", 0, {}), channel("GPU Energy", "nJ", 500'000'000, {}),
            channel("ANE", "mJ", 0, {})};
  if (is("ultra"))
    return {channel("DIE_0_CPU Energy", "mJ", 2000, {}),
            channel("DIE_1_CPU Energy", "mJ", 4000, {}),
            channel("GPU Energy", "nJ", 9'000'000'000, {}),
            channel("ANE0_0", "mJ", 100, {}),
            channel("ANE0_1", "mJ", 300, {}),
            channel("DRAM0_0", "mJ", 500, {}),
            channel("DRAM0_1", "mJ", 500, {})};
  return {channel("CPU Energy", "mJ ", 4000, {}),  // they are padded
          channel("ECPU", "mJ", 1000, {}),         // a part of it
          channel("GPU Energy", "nJ", 2'500'000'000, {}),
          channel("GPU SRAM0", "mJ", 77, {}),
          channel("ANE0", "uJ", 125'000, {}),
          channel("DRAM0", "mJ", 600, {})};
}

std::vector<Object*> cores() {
  if (is("ultra"))
    return {core("DIE_0_ECPU_CPU0", 40, 0),  core("DIE_1_ECPU_CPU0", 0, 0),
            core("DIE_0_PCPU_CPU0", 0, 100), core("DIE_0_PCPU1_CPU0", 50, 0),
            core("DIE_1_PCPU_CPU0", 0, 0),   core("DIE_1_PCPU1_CPU3", 0, 20)};
  if (is("m5")) return {core("MCPU000", 40, 0), core("MCPU100", 0, 40), core("PCPU000", 0, 100)};
  if (is("m5 base")) return {core("ECPU0", 40, 0), core("MCPU0", 40, 0), core("PCPU0", 0, 100)};
  if (is("no states")) return {channel("ECPU000", "24Mticks", 0, {})};
  return {core("ECPU000", 40, 0),
          core("ECPU010", 20, 20),
          core("PCPU000", 0, 50),
          core("PCPU010", 0, 0),
          core("PCPU100", 25, 75),
          channel("CPM", "", 0, {{"x", 1}}),
          channel("XCPU_", "", 0, {{"x", 1}})};
}

std::vector<Object*> gpu() {
  if (is("no states")) return {channel("GPUPH", "24Mticks", 0, {})};
  if (is("other GPU")) return {channel("GPU_SW", "24Mticks", 0, {{"OFF", 1}})};
  const int64_t p4 = is("beyond the table") ? 5 : is("goes back") ? -5 : 0;
  return {channel("BSTGPUPH", "24Mticks", 0, {{"OFF", 1}}),
          channel("GPUPH", "24Mticks", 0,
                  {{"OFF", 10}, {"P1", 60}, {"P2", 0}, {"P3", 30}, {"P4", p4}, {"P5", 0}})};
}

// Pairs of clock and voltage.
Object* table(const std::vector<uint32_t>& clocks) {
  auto* object = new Object(data);
  for (const uint32_t clock : clocks)
    for (const uint32_t word : {clock, 800u})
      for (int shift = 0; shift < 32; shift += 8) object->bytes += char(word >> shift & 255);
  return object;
}

Object* property(const string& name) {
  if (is("no tables")) return nullptr;
  if (is("wrong types")) return text_of("600 MHz");
  const bool m5 = is("m5") || is("m5 base");
  if (name == "voltage-states9") return table({0, 400'000'000, 800'000'000, 1'200'000'000});
  if (is("m4")) {  // in kHz
    if (name == "voltage-states1-sram") return table({1'020'000, 2'592'000});
    if (name == "voltage-states5-sram") return table({1'260'000, 4'512'000});
  }
  if (m5) {
    if (name == "acc-clusters") {  // M5 Max: two of tier 1, one of tier 2
      auto* object = new Object(data);
      const std::vector<std::pair<char, char>> clusters =
          is("m5") ? std::vector<std::pair<char, char>>{{22, 1}, {23, 1}, {5, 2}}
                   : std::vector<std::pair<char, char>>{{3, 0}, {22, 1}};
      for (const auto& [index, tier] : clusters)
        object->bytes += string{index, tier, 0, 0, 0, 0, 0, 0};
      return object;
    }
    if (name == "voltage-states22-sram") return table({1'344'000, 4'380'000});
    if (name == "voltage-states5-sram") return table({1'308'000, 4'608'000});
    return nullptr;
  }
  if (name == "voltage-states1-sram") return table({600'000'000, 2'064'000'000});
  if (name == "voltage-states5-sram") return table({600'000'000, 3'228'000'000});
  return nullptr;
}

Object* at(const void* object) { return static_cast<Object*>(const_cast<void*>(object)); }

}  // namespace

extern "C" {
void fake_ioreport(const char* what) {
  mode = what;
  samples = 0;
}
long fake_ioreport_objects() { return objects; }

void CFRelease(const void* object) { release(at(object)); }
unsigned long CFGetTypeID(const void* object) { return at(object)->kind; }
unsigned long CFArrayGetTypeID() { return list; }
unsigned long CFDataGetTypeID() { return data; }
long CFArrayGetCount(const void* array) {
  return is("huge") ? 1L << 40 : long(at(array)->items.size());
}
const void* CFArrayGetValueAtIndex(const void* array, long i) {
  return at(array)->items.at(size_t(i));
}
long CFDataGetLength(const void* object) {
  return is("huge") ? 1L << 40 : long(at(object)->bytes.size());
}
const uint8_t* CFDataGetBytePtr(const void* object) {
  return static_cast<const uint8_t*>(static_cast<const void*>(at(object)->bytes.data()));
}
const void* CFDictionaryGetValue(const void* dictionary_of, const void* key) {
  for (const auto& [name, value] : at(dictionary_of)->by)
    if (name == at(key)->bytes) return value;
  return nullptr;
}
const void* CFDictionaryCreateMutableCopy(const void*, long, const void* of) {
  auto* copy = new Object(dictionary);
  copy->bytes = at(of)->bytes;
  return copy;
}
const void* CFStringCreateWithCString(const void*, const char* bytes, uint32_t) {
  return text_of(bytes);
}
unsigned char CFStringGetCString(const void* object, char* to, long size, uint32_t) {
  const string& bytes = at(object)->bytes;
  if (at(object)->kind != text || long(bytes.size()) >= size) return 0;
  std::strcpy(to, bytes.c_str());
  return 1;
}

const void* IOServiceNameMatching(const char*) { return new Object(other); }
uint32_t IOServiceGetMatchingService(uint32_t, const void* matching) {
  release(at(matching));
  return is("no pmgr") ? 0 : 7;
}
const void* IORegistryEntryCreateCFProperty(uint32_t, const void* key, const void*, uint32_t) {
  return property(at(key)->bytes);
}
int IOObjectRelease(uint32_t) { return 0; }

const void* IOReportCopyChannelsInGroup(const void* group, const void*, uint64_t, uint64_t,
                                        uint64_t) {
  if (is("no groups")) return nullptr;
  auto* channels = new Object(dictionary);
  channels->bytes = at(group)->bytes;  // which they are of
  return channels;
}
const void* IOReportCreateSubscription(void*, const void* channels, const void** subscribed,
                                       uint64_t, const void*) {
  if (is("refused")) return nullptr;
  *subscribed = CFDictionaryCreateMutableCopy(nullptr, 0, channels);
  return new Object(other);
}
const void* IOReportCreateSamples(const void*, const void* subscribed, const void*) {
  if (is("no samples")) return nullptr;
  if (at(subscribed)->bytes == "Energy Model") ++samples;
  return CFDictionaryCreateMutableCopy(nullptr, 0, subscribed);
}
const void* IOReportCreateSamplesDelta(const void*, const void* after, const void*) {
  if (is("no delta")) return nullptr;
  auto* delta = new Object(dictionary);
  if (is("no channels")) return delta;
  auto* channels = new Object(is("wrong types") ? text : list);
  const string& group = at(after)->bytes;
  if (!is("wrong types"))
    channels->items = group == "Energy Model" ? energy() : group == "CPU Stats" ? cores() : gpu();
  delta->by = {{"IOReportChannels", channels}};
  return delta;
}
const void* IOReportChannelGetChannelName(const void* one) { return at(one)->texts[0]; }
const void* IOReportChannelGetUnitLabel(const void* one) {
  return is("no units") ? nullptr : at(one)->texts[1];
}
int64_t IOReportSimpleGetIntegerValue(const void* one, int32_t*) { return at(one)->value; }
int32_t IOReportStateGetCount(const void* one) {
  return is("states without end") ? 1 << 30 : int32_t(at(one)->states.size());
}
const void* IOReportStateGetNameForIndex(const void* one, int32_t i) {
  return at(one)->texts.at(size_t(i) + 2);
}
int64_t IOReportStateGetResidency(const void* one, int32_t i) {
  return at(one)->states.at(size_t(i)).second;
}
}
