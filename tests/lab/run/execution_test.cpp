// One execution of a program: its time, what it took, what it left behind.
#include "hearth/lab/run/execution.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "hearth/lab/run/metric.h"
#include "hearth/lab/run/process_tree.h"
#include "tests/lab/fakes.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;

Program shell(const std::string& text) {
  Program p;
  p.args = {"sh", "-c", text};
  return p;
}

bool alive(pid_t pid) { return ::kill(pid, 0) == 0; }

TEST(Execution, HasTimeCodeAndUse) {
  const Execution slept = execute(shell("sleep 0.1; exit 3"));
  EXPECT_GE(slept.seconds(), 0.1);
  EXPECT_LT(slept.seconds(), 5);
  EXPECT_EQ(slept.exit_code, 3);
  EXPECT_LT(slept.user_s + slept.system_s, 0.1);
  EXPECT_GE(slept.voluntary_switches, 1);
  EXPECT_GT(slept.minor_faults, 10);
  const Execution busy = execute(shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"));
  EXPECT_GT(busy.user_s, 0.01);
  EXPECT_LE(busy.user_s + busy.system_s, busy.seconds() * 1.5 + 0.02);
  EXPECT_EQ(execute(shell("kill -9 $$")).exit_code, 128 + 9);
}

TEST(Execution, InputAndOutputGoWhereTheyAreSent) {
  const testing::TempFolder folder;
  Program p = shell("cat; echo to-err >&2");
  p.input = folder.write("in", "from-file");
  p.output = Output::keep;
  EXPECT_THAT(execute(p).text, ::testing::AllOf(HasSubstr("from-file"), HasSubstr("to-err")));
  p.output = Output::file;
  p.file = folder / "out";
  execute(p);
  execute(p);
  EXPECT_EQ(content_of(p.file), "from-file");  // written anew each time
  p.input = folder / "nowhere";
  EXPECT_THAT(error_of([&] { execute(p); }), HasSubstr("nowhere: cannot be opened"));
  // More than a pipe holds; a program that is not read stands still.
  Program much = shell("head -c 20000000 /dev/zero");
  much.output = Output::discard;
  EXPECT_EQ(execute(much).exit_code, 0);
  much.output = Output::keep;
  const Execution kept = execute(much);
  EXPECT_EQ(kept.text.size(), kLongestText);
  EXPECT_TRUE(kept.text_cut);
}

TEST(Execution, WhatCannotStartSaysWhy) {
  Program p;
  p.args = {"no-such-program-here"};
  EXPECT_THAT(error_of<EngineFault>([&] { execute(p); }),
              HasSubstr("cannot start no-such-program-here: No such file"));
  p.args = {"/"};
  EXPECT_THAT(error_of<EngineFault>([&] { execute(p); }), HasSubstr("cannot start /"));
  EXPECT_EQ(execute(shell("exit 127")).exit_code, 127);  // a program's own
}

// A pipe that a child of the program keeps open is not waited for.
TEST(Execution, EndsWithTheProgramAndItsGroupWithTheTimeOut) {
  const Descendants all;
  Program p = shell("sleep 100 & echo $!");
  p.output = Output::keep;
  const Execution e = execute(p);
  EXPECT_LT(e.seconds(), 50);
  EXPECT_TRUE(alive(pid_t(std::stoi(e.text))));
  Program slow = shell("trap '' TERM; sleep 100 & sleep 100");
  slow.timeout_s = 0.1;
  const auto begin = Clock::now();
  EXPECT_THAT(error_of<EngineFault>([&] { execute(slow); }),
              HasSubstr("took longer than 0.1 s, the time-out"));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
}

TEST(Execution, ObeysWithinASecondAndLeavesNobody) {
  const testing::TempFolder folder;
  std::atomic<bool> interrupted = false;
  Program p =
      shell("setsid sleep 100 & sleep 100 & echo $! >" + (folder / "pid").string() + "; wait");
  std::vector<pid_t> before = children_of(getpid());
  Clock::time_point asked;
  {
    const Descendants all;
    std::thread asks([&] {
      while (content_of(folder / "pid").find('\n') == std::string::npos) std::this_thread::yield();
      asked = Clock::now();
      interrupted = true;
    });
    EXPECT_THROW(execute(p, &interrupted), Interrupted);
    asks.join();
    EXPECT_LT(Clock::now() - asked, std::chrono::seconds(1));
  }
  EXPECT_EQ(children_of(getpid()), before);  // also those of another session
  EXPECT_FALSE(alive(pid_t(std::stoi(content_of(folder / "pid")))));
}

TEST(Execution, DescendantsAreEndedWhereverTheyWent) {
  const auto before = children_of(getpid());
  pid_t left = 0;
  {
    const Descendants all;
    Program p = shell("setsid sh -c 'sleep 100 & echo $!; exec sleep 100' & sleep 0.05");
    p.output = Output::keep;
    left = pid_t(std::stoi(execute(p).text));
    EXPECT_TRUE(alive(left));
  }
  EXPECT_FALSE(alive(left));
  EXPECT_EQ(children_of(getpid()), before);
}

TEST(Execution, MemoryIsOfAllProcessesAtOnce) {
  HEARTH_PYTHON_OR_SKIP();
  constexpr double kEach = 60e6;
  const testing::TempFolder folder;
  // Says that it has the memory, and holds it until all that are named have said so.
  const auto hold = [&](const std::string& me, const std::string& all) {
    return "cd " + folder.path().string() +
           " && python3 -c \"import os, sys, time; x = bytearray(60000000); open(sys.argv[1], "
           "'w'); "
           "[time.sleep(0.01) for i in range(3000) if not all(map(os.path.exists, sys.argv[2:]))]; "
           "time.sleep(0.5)\" " +
           me + " " + all;
  };
  const auto peak = [](const std::string& text) {
    Program p = shell(text);
    p.watch_memory = true;
    return double(execute(p).peak_bytes.value.value_or(0));
  };
  const double one = peak(hold("one", "one")),
               two = peak(hold("a", "a b") + " & " + hold("b", "a b") + " & wait");
  EXPECT_GT(one, kEach);
  EXPECT_LT(one, 1.7 * kEach);
  EXPECT_GT(two, 2 * kEach);
  EXPECT_LT(two, 3 * kEach);
  // Pages that a fork shares count once.
  const double forked = peak(
      "python3 -c \"import os, time; x = bytearray(60000000); pid = os.fork(); time.sleep(0.5); "
      "pid and os.wait()\"");
  EXPECT_GT(forked, kEach);
  EXPECT_LT(forked, 1.7 * kEach);
}

TEST(Execution, WhatIsSmallerThanItsLauncherIsNotGuessed) {
  Program p;
  p.args = {"true"};
  const auto peak = execute(p).peak_bytes;
  const auto mine = peak_of_process(getpid()).value_or(0);
  if (peak.value)
    EXPECT_LT(*peak.value, mine);
  else
    EXPECT_THAT(peak.reason, HasSubstr("KiB that starting it takes"));
}

TEST(Metric, IsTheNumberInItsGroup) {
  const Metric rate("eval rate: +([0-9.]+) tokens/s");
  EXPECT_EQ(rate.find("load 1\nprompt eval rate: 90.5 tokens/s\neval rate:  12.25 tokens/s\n"),
            90.5);
  EXPECT_EQ(Metric("^eval rate: +([0-9.]+)").find("prompt eval rate: 9\neval rate:  12.25 t"),
            12.25);
  EXPECT_EQ(Metric("(-?\\d+e\\d+)").find("x -3e2"), -300);
  EXPECT_THAT(error_of<EngineFault>([&] { rate.find("nothing"); }),
              HasSubstr("its output has no \"eval rate"));
  EXPECT_THAT(error_of<EngineFault>([] { Metric("a(.*)b").find("a1.2.3b"); }),
              HasSubstr("its output has \"1.2.3\" where"));
  EXPECT_THAT(error_of<EngineFault>([] { Metric("a(x)?").find("a"); }),
              HasSubstr("wants a number"));
  EXPECT_THAT(error_of<std::invalid_argument>([] { Metric m("rate"); }),
              HasSubstr("wanted a group in brackets"));
  EXPECT_THAT(error_of<std::invalid_argument>([] { Metric m("(rate"); }),
              HasSubstr("metric '(rate'"));
  // One whose search would never end.
  EXPECT_THAT(
      error_of<EngineFault>([] { Metric("(?:(?:a+)+)+(\\d)b").find(std::string(5000, 'a')); }),
      HasSubstr("its output"));
}

}  // namespace
}  // namespace hearth::lab
