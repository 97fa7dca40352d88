// A run's journal: whatever is written is read back, wherever it was cut; and who may have it.
#include "hearth/lab/result/journal.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/lab/result/result_json.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;

/// Its parts in the order in which a run adds them.
std::vector<Addition> parts_of(Result r) {
  std::vector<Addition> parts = {state_of(r)};
  for (size_t e = 0; e < r.engines.size(); ++e) {
    Addition of;
    of.engine = int(e);
    for (const Start& start : r.engines[e].starts) {
      parts.push_back(of);
      parts.back().starts = {start};
    }
    for (const Repetition& rep : r.engines[e].repetitions) {
      parts.push_back(of);
      parts.back().repetitions = {rep};
    }
    parts.push_back(of);
    parts.back().telemetry = {r.engines[e].telemetry};
  }
  r.notes.push_back("at the end");
  parts.push_back(state_of(r));
  return parts;
}

Result sample() {
  Result r = testing::gpu_result({.active = 0.5, .clock_mhz = 1000});
  r.plan.finished = false;
  for (EngineResult& e : r.engines) {
    e.telemetry.sampler_cpu_s = 0.25;
    for (size_t i = 0; i < e.starts.size(); ++i) e.starts[i].first_s = e.repetitions[i].total_s;
    e.first_s = e.starts[0].first_s;
  }
  return r;
}

struct OnDisk : ::testing::Test {
  testing::TempFolder folder;
  std::filesystem::path file = folder / "r.json", journal = journal_of(file);
  std::string text() const { return testing::content_of(journal); }
  void write_all() {
    Journal j(file, Journal::Earlier::refused);
    for (const Addition& part : parts_of(sample())) j.write(part);
  }
};
using LabJournal = OnDisk;

// Of every start its first execution is the cold one; the engine's is that of its first start.
TEST_F(LabJournal, TheColdExecutionIsThatOfItsStart) {
  EngineResult e;
  e.starts.resize(2);
  for (const int start : {0, 0, 1, 1}) {
    Repetition r;
    r.start = start;
    r.total_s = double(e.repetitions.size()) + 1;
    add(e, r);
  }
  EXPECT_EQ(e.first_s.value, 1);
  EXPECT_EQ(e.starts[0].first_s.value, 1);
  EXPECT_EQ(e.starts[1].first_s.value, 3);
}

TEST_F(LabJournal, HoldsAllThatWasAdded) {
  write_all();
  Result wanted = sample();
  wanted.notes.push_back("at the end");
  EXPECT_EQ(to_json(read_journal(journal).value()), to_json(wanted));
  EXPECT_EQ(to_json(read_result(file)), to_json(wanted));  // there is no result yet
}

// At any byte: what was whole before is there, and nothing else.
TEST_F(LabJournal, MayBeCutAnywhere) {
  write_all();
  const std::string all = text();
  const auto parts = parts_of(sample());
  for (size_t cut = 0; cut <= all.size(); cut += 1 + cut % 997) {
    std::ofstream(journal, std::ios::trunc) << all.substr(0, cut);
    const auto lines = size_t(std::count(all.begin(), all.begin() + ptrdiff_t(cut), '\n'));
    const auto found = read_journal(journal);
    ASSERT_EQ(found.has_value(), lines > 0) << cut;
    if (!found) continue;
    Result wanted;
    for (size_t i = 0; i < lines; ++i) add(wanted, parts[i]);
    ASSERT_EQ(to_json(*found), to_json(wanted)) << cut;
    // A run that goes on adds to what was whole.
    Journal j(file, Journal::Earlier::read);
    EXPECT_EQ(to_json(j.found().value()), to_json(wanted));
    if (lines < parts.size()) j.write(parts[lines]);
    EXPECT_EQ(text(), all.substr(0, text().size()));
  }
}

TEST_F(LabJournal, DamageIsNamed) {
  write_all();
  std::string all = text();
  const size_t third = all.find('\n', all.find('\n') + 1) + 1;
  all[third + 5] = '\x01';
  std::ofstream(journal, std::ios::trunc) << all;
  EXPECT_THAT(testing::error_of([&] { read_journal(journal); }),
              HasSubstr("r.json.journal: line 3"));
  std::ofstream(journal, std::ios::trunc) << "{\"engine\": 0}\n";
  EXPECT_THAT(testing::error_of([&] { read_journal(journal); }),
              HasSubstr("line 1: a journal begins with its state"));
  std::ofstream(journal, std::ios::trunc)
      << to_line(parts_of(sample())[0]) + "\n" +
             "{\"engine\": 7, \"starts\": [{\"began_s\": 1}]}\n";
  EXPECT_THAT(testing::error_of([&] { read_journal(journal); }),
              HasSubstr("line 2: it adds to engine 7, but there are 2"));
}

TEST_F(LabJournal, IsClosedIntoTheResult) {
  {
    Journal j(file, Journal::Earlier::refused);
    for (const Addition& part : parts_of(sample())) j.write(part);
    j.close(sample());
  }
  EXPECT_FALSE(std::filesystem::exists(journal));
  EXPECT_EQ(to_json(read_result(file)), to_json(sample()));
}

TEST_F(LabJournal, OneRunHasIt) {
  auto j = std::make_unique<Journal>(file, Journal::Earlier::refused);
  for (const auto earlier :
       {Journal::Earlier::refused, Journal::Earlier::replaced, Journal::Earlier::read})
    EXPECT_THAT(testing::error_of<Taken>([&] { Journal(file, earlier); }),
                HasSubstr("another run is writing it"));
  j.reset();
  EXPECT_FALSE(std::filesystem::exists(journal));  // nothing was in it
  write_all();
  EXPECT_THAT(testing::error_of<Taken>([&] { Journal(file, Journal::Earlier::refused); }),
              HasSubstr("--resume"));
  EXPECT_TRUE(std::filesystem::exists(journal));
  Journal anew(file, Journal::Earlier::replaced);
  EXPECT_FALSE(anew.found().has_value());
  EXPECT_EQ(text(), "");
}

// As a full disk: the file may not grow beyond a limit. All lines before are whole.
TEST_F(LabJournal, AFullDiskLeavesWhatIsWhole) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old = signal(SIGXFSZ, SIG_IGN);
  const auto parts = parts_of(sample());
  size_t written = 0, all = 0;
  for (const Addition& part : parts) all += to_line(part).size() + 1;
  std::string error;
  {
    Journal j(file, Journal::Earlier::refused);
    const rlimit small{all * 6 / 10, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    error = testing::error_of([&] {
      for (const Addition& part : parts) j.write(part), ++written;
    });
    setrlimit(RLIMIT_FSIZE, &before);
  }
  signal(SIGXFSZ, old);
  EXPECT_THAT(error, HasSubstr("r.json.journal: cannot be written: "));
  EXPECT_THAT(error, HasSubstr("--resume"));
  ASSERT_GT(written, 2);
  ASSERT_LT(written, parts.size());
  EXPECT_EQ(text().back(), '\n');
  Result wanted;
  for (size_t i = 0; i < written; ++i) add(wanted, parts[i]);
  EXPECT_EQ(to_json(read_journal(journal).value()), to_json(wanted));
}

}  // namespace
}  // namespace hearth::lab
