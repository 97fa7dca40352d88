#include "hearth/lab/measure/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/backend/cpu/isa.h"
#include "hearth/lab/measure/launch.h"
#include "hearth/lab/measure/loops.h"
#include "hearth/lab/measure/probe.h"
#include "hearth/lab/measure/team.h"
#include "hearth/lab/show/probe_report.h"

namespace hearth::lab {
namespace {

TEST(limits, samples_have_median_and_range) {
  Samples odd = summarize({3, 1, 2});
  EXPECT_EQ(odd.median, 2);
  EXPECT_EQ(odd.min, 1);
  EXPECT_EQ(odd.max, 3);
  EXPECT_EQ(odd.all, (std::vector<double>{3, 1, 2}));
  EXPECT_EQ(summarize({1, 2, 3, 10}).median, 2.5);
  EXPECT_THROW(summarize({}), std::invalid_argument);
}

// A walk that left bytes out would measure a bandwidth that is not there. The xor of the words,
// folded to a byte, is the xor of all bytes: with one byte set, that byte.
TEST(limits, every_walk_reads_every_byte) {
  std::vector<std::byte> data(70'001);
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    for (Walk walk : {Walk::forward, Walk::prefetch, Walk::four_streams})
      for (size_t size :
           {size_t(0), size_t(1), size_t(7), size_t(64), size_t(4096), data.size() - 1})
        for (size_t start : {0, 1}) {
          auto fold = [&] {
            uint64_t x = read_memory(data.data() + start, size, walk), bits = 0;
            for (int byte = 0; byte < 8; byte++) bits ^= x >> 8 * byte & 0xff;
            return bits;
          };
          std::fill(data.begin(), data.end(), std::byte(0));
          EXPECT_EQ(fold(), 0u);
          for (size_t i = 0; i < size; i += size < 100 ? 1 : 61) {
            data[start + i] = std::byte(0x5a);
            ASSERT_EQ(fold(), 0x5au)
                << "byte " << i << " of " << size << " is not read at " << to_string(level);
            data[start + i] = std::byte(0);
          }
        }
  }
  cpu::set_isa(cpu::isa_levels().back());
}

TEST(limits, a_team_runs_each_thread_once_and_knows_its_time) {
  for (int size : {1, 2, 3}) {
    Team team(size);
    for (int round = 0; round < 100; round++) {
      std::vector<int> calls(size);
      EXPECT_GE(team.time([&](int thread) { calls[thread]++; }), 0);
      EXPECT_EQ(calls, std::vector<int>(size, 1));
    }
  }
  EXPECT_THROW(Team(0), std::invalid_argument);
}

TEST(limits, a_team_gives_the_callers_processors_back) {
  auto before = read_facts().usable_threads.value;
  { Team team(before.value()); }
  EXPECT_EQ(read_facts().usable_threads.value, before);
}

TEST(limits, reads_several_spans) {
  std::vector<std::byte> a(3 << 20, std::byte(1)), b(100, std::byte(1));
  const Bytes memory[] = {a, {}, b};
  for (int threads : {1, 2}) {
    Bandwidth result = measure_read_bandwidth(memory, threads, 0.02);
    EXPECT_EQ(result.threads, threads);
    EXPECT_GE(result.gb_s.all.size(), 5u);
    EXPECT_GT(result.gb_s.min, 0.01);
    EXPECT_LT(result.gb_s.max, 1e5);
    EXPECT_LE(result.gb_s.min, result.gb_s.median);
    EXPECT_LE(result.gb_s.median, result.gb_s.max);
  }
  EXPECT_EQ(measure_read_bandwidth(memory, 1, 0.01, Walk::prefetch).walk, Walk::prefetch);
  EXPECT_GT(measure_read_bandwidth(memory, 4, 0.01, Walk::forward, Share::own).gb_s.min, 0.01);
  EXPECT_THROW(measure_read_bandwidth(memory, 5, 0.01, Walk::forward, Share::own),
               std::invalid_argument);
  EXPECT_THROW(measure_read_bandwidth({}, 1), std::invalid_argument);
  EXPECT_THROW(measure_read_bandwidth(memory, 0), std::invalid_argument);
}

// GB are 1e9 bytes: a sample reads 64 MiB, and all samples fit into the time that passed.
TEST(limits, bandwidth_is_bytes_over_their_time) {
  std::vector<std::byte> memory(64 << 20, std::byte(1));
  const Bytes all[] = {memory};
  const auto begin = std::chrono::steady_clock::now();
  const Bandwidth result = measure_read_bandwidth(all, 1, 0.3, Walk::forward);
  const double passed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  double sum = 0;
  for (const double gb_s : result.gb_s.all) sum += double(64 << 20) / (gb_s * 1e9);
  EXPECT_LE(sum, passed);
  EXPECT_GE(sum, 0.3 * 0.5);
}

TEST(limits, a_read_buffer_is_written) {
  for (Pages pages : {Pages::plain, Pages::huge}) {
    ReadBuffer buffer(pages, 5 << 20);
    Bytes bytes = buffer.bytes();
    EXPECT_EQ(bytes.size(), size_t(5 << 20));
    EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte(1); }));
  }
}

// Whatever the load of the machine, the fastest sample is near what the processor can do: no fewer
// than one operation and no more than 512 in a cycle of the measured clock.
TEST(limits, arithmetic_is_plausible_for_the_clock) {
  Reading<Samples> clock = measure_clock_mhz(Device::cpu, 0.02);
  if (!clock.value) GTEST_SKIP() << clock.reason;
  EXPECT_GT(clock.value->max, 200);
  EXPECT_LT(clock.value->max, 10'000);
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    EXPECT_TRUE(measure_peak(Unit::f32, 1, 0.02).value || level == cpu::Isa::portable);
    for (const Unit unit : kUnits) {
      const Reading<Samples> rate = measure_peak(unit, 1, 0.02);
      const bool tile = unit == Unit::bf16_tile || unit == Unit::int8_tile;
      const bool here = unit == Unit::bf16 ? level >= cpu::Isa::avx512_bf16
                        : tile             ? level >= cpu::Isa::amx_bf16
                                           : rate.value.has_value();
      EXPECT_EQ(rate.value.has_value(), here) << to_string(level) << ' ' << to_string(unit);
      if (!rate.value) continue;
      double per_cycle = rate.value->max * 1e3 / clock.value->max;
      EXPECT_GT(per_cycle, 1) << to_string(level) << ' ' << to_string(unit);
      EXPECT_LT(per_cycle, tile ? 4096 : 512) << to_string(level) << ' ' << to_string(unit);
    }
  }
}

TEST(limits, a_launch_takes_time_on_every_device_that_hearth_has) {
  const Launch launch = measure_launch(Device::cpu, 0.02);
  for (const auto& us : {launch.evaluated_us, launch.replayed_us}) {
    ASSERT_TRUE(us.value) << us.reason;
    EXPECT_GE(us.value->all.size(), 5u);
    EXPECT_GT(us.value->min, 0.001);  // a few cycles
    EXPECT_LT(us.value->min, 1000);
  }
  // Scheduling is what a recording saves.
  EXPECT_LT(launch.replayed_us.value->min, launch.evaluated_us.value->min);
}

TEST(limits, no_launch_is_made_up_where_there_is_no_device) {
  const Launch none = measure_launch(Device(Device::cuda, 99), 0.01);
  EXPECT_FALSE(none.evaluated_us.value || none.replayed_us.value);
  EXPECT_NE(none.evaluated_us.reason, "");
  EXPECT_EQ(none.evaluated_us.reason, none.replayed_us.reason);
}

TEST(limits, the_counter_is_constant) {
  Reading<double> a = measure_counter_mhz(), b = measure_counter_mhz();
  if (!a.value) GTEST_SKIP() << a.reason;
  EXPECT_NEAR(*a.value / *b.value, 1, 0.05);
}

// What others ran meanwhile is no part of a clock, and no clock is better than a wrong one.
TEST(limits, a_clock_is_of_samples_that_nothing_interrupted) {
  const auto clock = steady_clock_of({6, 3100, 3108, 2900, 3050});
  ASSERT_TRUE(clock.value.has_value());
  EXPECT_EQ(clock.value->min, 2900);
  EXPECT_EQ(clock.value->all.size(), 4u);
  EXPECT_THAT(steady_clock_of({6, 7, 3108, 12}).reason,
              ::testing::HasSubstr("was not idle: 3 of 4"));
  EXPECT_THROW(steady_clock_of({}), std::invalid_argument);
}

TEST(limits, threads_that_contradict_one_another_say_that_others_ran) {
  Machine m{};
  m.threads = 2;
  const auto samples = [](double median) {
    return summarize({median * 0.99, median, median * 1.01});
  };
  m.read_bandwidth.one_thread.gb_s = samples(10);
  m.read_bandwidth.all_threads.gb_s = samples(18);
  for (auto& peak : m.peaks)
    peak = {Reading<Samples>::missing("none"), Reading<Samples>::missing("none")};
  auto& f32 = m.peaks[size_t(Unit::f32)];
  f32 = {samples(92), samples(180)};
  EXPECT_TRUE(contradictions(m).empty());
  f32.all_threads = samples(12);
  EXPECT_THAT(contradictions(m),
              ::testing::ElementsAre("2 threads compute 12 GFLOP/s, one alone 92"));
  EXPECT_THAT(to_text(m), ::testing::HasSubstr("The machine was not idle: 2 threads compute 12"));
  EXPECT_EQ(to_json(m)["not_idle"].size(), 1u);
  f32.all_threads = summarize({20, 180, 181});
  EXPECT_THAT(contradictions(m),
              ::testing::ElementsAre("2 threads compute 180 GFLOP/s, at times only 20"));
  f32.all_threads = samples(180);
  EXPECT_EQ(to_json(m)["not_idle"], nlohmann::json::array());  // idle: no null without a reason
}

}  // namespace
}  // namespace hearth::lab
