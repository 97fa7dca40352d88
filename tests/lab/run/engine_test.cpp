// Engines: how they are named, and what becomes of those that break the protocol.
#include "hearth/lab/run/engine.h"

#include <gmock/gmock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "tests/lab/fakes.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using testing::fake;
using ::testing::HasSubstr;

#ifdef __linux__
// A child that runs as soon as it is sent something, before the lab is back from sending it: its
// time begins no later than it knows of the request itself.
TEST(ChildProcess, TimeBeginsBeforeTheChildCanAnswer) {
  HEARTH_PYTHON_OR_SKIP();
  ChildProcess child(
      {"python3", "-uc", "import sys, time\nfor line in sys.stdin: print(time.monotonic_ns())"});
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  child.write_line("awake?", deadline);
  child.read_line(deadline);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (sched_setaffinity(child.pid(), sizeof one, &one) != 0) GTEST_SKIP() << "no affinity here";
  std::thread([&] {  // on the child's processor, and only while the child does not want it
    sched_setaffinity(0, sizeof one, &one);
    const sched_param none{};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    for (int i = 0; i < 20; ++i) {
      const auto sent = child.write_line("now", deadline);
      const long long known = std::stoll(child.read_line(deadline).text);
      EXPECT_LE(std::chrono::nanoseconds(sent.time_since_epoch()).count(), known) << i;
    }
  })
      .join();
}
#endif

TEST(EngineSpec, HasNameProgramDeviceOptions) {
  const auto plain = parse_engine("torch");
  EXPECT_EQ(plain.name, "torch");
  EXPECT_EQ(plain.device, "");
  const auto full = parse_engine("hearth@./build-b/bin/hearth:cuda:1:threads=2,dtype=f16");
  EXPECT_EQ(full.name, "hearth");
  EXPECT_EQ(full.program, "./build-b/bin/hearth");
  EXPECT_EQ(full.device, "cuda:1");
  EXPECT_EQ(full.options, (std::map<std::string, std::string>{{"threads", "2"}, {"dtype", "f16"}}));
  const auto server = parse_engine("openai:http://127.0.0.1:8080/v1:model=phi");
  EXPECT_EQ(server.device, "http://127.0.0.1:8080/v1");
  EXPECT_EQ(server.options.at("model"), "phi");
}

TEST(EngineSpec, CommasAreOfOptionsOrOfEngines) {
  const auto specs = parse_engines("hearth,torch:cpu:compile=1,dtype=f32,mlx,jax:cpu");
  std::vector<std::string> names;
  for (const auto& s : specs) names.push_back(s.text);
  EXPECT_THAT(names, ElementsAre("hearth", "torch:cpu:compile=1,dtype=f32", "mlx", "jax:cpu"));
}

TEST(EngineSpec, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "is no name"},          {":cpu", "is no name"},  {"a b", "is no name"},
      {"torch@", "no program"},    {"torch:", "no device"}, {"torch:cpu:x=1,x=2", "twice"},
      {"torch:cpu:=1", "not key="}};
  for (const auto& [text, says] : cases)
    EXPECT_THAT(error_of<std::invalid_argument>([text = text] { parse_engine(text); }),
                AllOf(HasSubstr(says), HasSubstr("engine '")))
        << text;
  EXPECT_THAT(error_of<std::invalid_argument>([&] { command_of(parse_engine("trch"), {}); }),
              HasSubstr("engine 'trch' is not known; there are hearth, and any program as"));
}

TEST(EngineSpec, KnownAreHearthAndWhatTheFolderHas) {
  testing::TempFolder folder;
  folder.write("zoo_engine.py", "\"\"\"Doc.\"\"\"\n# engine: zoo.b | op | pip install zoo\n");
  folder.write("alone_engine.py", "# engine: alone | generate op |\n");
  folder.write("protocol.py", "# engine: no | op | no\n");
  folder.write("silent_engine.py", "import no\n");
  const EnginePlaces places{"/bin/hearth", folder.path(), "python3"};
  const auto known = known_engines(places);
  ASSERT_EQ(known.size(), 3u);
  EXPECT_EQ(known[0].name, "hearth");
  EXPECT_EQ(known[1].name, "alone");
  EXPECT_EQ(known[1].install, "");
  EXPECT_EQ(known[2].name, "zoo.b");
  EXPECT_EQ(known[2].runs, "op");
  EXPECT_EQ(known[2].install, "pip install zoo");
  EXPECT_THAT(command_of(parse_engine("zoo.b"), places),
              ElementsAre("python3", (folder / "zoo_engine.py").string()));
  EXPECT_THAT(error_of<std::invalid_argument>([&] { command_of(parse_engine("zoo"), places); }),
              HasSubstr("engine 'zoo' is not known; there are hearth, alone, zoo.b, and any"));
  const EnginePlaces ours{"/bin/hearth", testing::source_path("hearth/lab/engines"), "python3"};
  std::vector<std::string> names;
  for (const KnownEngine& one : known_engines(ours)) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("hearth", "jax", "llama.cpp", "mlx", "numpy", "onnxruntime",
                                 "openai", "server", "tensorflow", "torch"));
}

TEST(EngineSpec, ProgramsOfTheirOwn) {
  const std::filesystem::path adapters = testing::source_path("hearth/lab/engines");
  const EnginePlaces places{"/bin/hearth", adapters, "python3"};
  EXPECT_THAT(command_of(parse_engine("hearth@./b"), places), ElementsAre("./b", "lab", "engine"));
  EXPECT_THAT(command_of(parse_engine("llama.cpp"), places),
              ElementsAre("python3", (adapters / "llamacpp_engine.py").string()));
  EXPECT_THAT(command_of(parse_engine("torch@/env/bin/python:cpu"), places),
              ElementsAre("/env/bin/python", (adapters / "torch_engine.py").string()));
  EXPECT_THAT(command_of(parse_engine("mine@./mine.py"), places), ElementsAre("./mine.py"));
}

Job a_job(int new_tokens = 5, int batch = 1) {
  Job job;
  job.prompt_ids = {7, 8, 9};
  job.prompt_tokens = 3;
  job.new_tokens = new_tokens;
  job.batch = batch;
  return job;
}

constexpr Timeouts kShort{10, 10, 1, 1};

/// What a run ends with.
template <class E>
std::string fault_of(const std::string& options, bool streamed, const Job& job = a_job()) {
  Engine engine(fake(options), {}, kShort);
  engine.hello();
  engine.load("model");
  return error_of<E>([&] { engine.run(job, streamed, 1, Clock::now()); });
}

class EngineProcess : public ::testing::Test {
  void SetUp() override { HEARTH_PYTHON_OR_SKIP(); }
};

TEST_F(EngineProcess, RunsAndIsTimed) {
  Engine engine(fake(), {}, kShort);
  const auto hello = engine.hello();
  EXPECT_EQ(hello.version, "1");
  const auto facts = engine.load("model");
  EXPECT_EQ(facts.bytes_per_weight.value, 4);
  EXPECT_EQ(facts.sampling, Sampling::greedy);
  const auto origin = Clock::now();
  const Repetition r = engine.run(a_job(5, 2), true, 1, origin);
  EXPECT_THAT(r.ids, ElementsAre(ElementsAre(10, 11, 12, 13, 14), ElementsAre(8, 9, 10, 11, 12)));
  EXPECT_EQ(r.token_s.size(), 5);
  EXPECT_TRUE(std::is_sorted(r.token_s.begin(), r.token_s.end()));
  EXPECT_LE(r.token_s.back(), r.total_s);
  EXPECT_EQ(r.new_tokens, 5);
  EXPECT_EQ(r.prompt_tokens, 3);
  EXPECT_EQ(r.own.at("x"), 1.5);
  EXPECT_FALSE(r.own.contains("y"));
  const Repetition whole = engine.run(a_job(), false, 1, origin);
  EXPECT_TRUE(whole.token_s.empty());
  EXPECT_GT(whole.start_s, r.start_s + r.total_s);
  const Memory m = engine.memory("after");
  EXPECT_EQ(m.tensors_bytes.value, 400);
  EXPECT_GT(m.resident_bytes.value.value_or(0), 1 << 20);
  EXPECT_EQ(m.driver_bytes.value, std::nullopt);
  EXPECT_NE(m.driver_bytes.reason, "");
  EXPECT_EQ(engine.checksum(), 1);
  engine.bye();
}

TEST_F(EngineProcess, WaitsWithoutTheProcessor) {
  Engine engine(fake(), {}, kShort);
  engine.hello();
  engine.pause();
  const auto state = [&] {
    const auto text = testing::content_of("/proc/" + std::to_string(engine.pid()) + "/stat");
    return text.at(text.rfind(')') + 2);
  };
  for (int i = 0; i < 1000 && state() != 'T'; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(state(), 'T');
  engine.load("model");  // a request wakes it
  EXPECT_NE(state(), 'T');
}

TEST_F(EngineProcess, FaultsAreNamed) {
  const std::tuple<const char*, bool, const char*> cases[] = {
      {"hang", false, "gave no answer in time"},
      {"crash", false, "ended with exit code 3; its last words: \"out of luck\""},
      {"signal", false, "was ended by signal 11"},
      {"garbage", false, "wrote something else than the protocol: \"Loading weights: 100%\""},
      {"other_json", false, "wrote something else than the protocol"},
      {"other_request", false, "answered request 4, not 3"},
      {"flood_of_tokens", true, "sent more than the 5 tokens it was asked for"},
      {"flood_of_tokens", false, "wrote something else than the protocol"},
      {"flood_in_a_line", false, "sent a line of more than"},
      {"closes_output", false, "closed its output"},
      {"ids_of_text", false, "answered with the id"},
      {"ids_negative", false, "answered with the id \"-1\""},
      {"more_ids", false, "answered with ids that are no list of at most 5"},
      {"counts_are_text", false, "answered with prompt_tokens = \"many\""},
      {"counts_are_huge", false, "answered with prompt_tokens = 4294967301"},
      {"streams_other_ids", true, "streamed other ids than it answered with"},
  };
  for (const auto& [fault, streamed, says] : cases)
    EXPECT_THAT(fault_of<EngineFault>(std::string("fault=") + fault, streamed), HasSubstr(says))
        << fault;
}

TEST_F(EngineProcess, ARefusalIsASentenceAndItLivesOn) {
  Engine engine(fake("fault=refuse"), {}, kShort);
  engine.hello();
  EXPECT_EQ(error_of<EngineRefusal>([&] { engine.run(a_job(), false, 1, Clock::now()); }),
            "no room?[31m");
  EXPECT_EQ(engine.memory("x").tensors_bytes.value, 400);
}

TEST_F(EngineProcess, AFloodOfErrorsDoesNotStallIt) {
  Engine engine(fake("fault=flood_of_errors"), {}, {10, 10, 20, 1});
  engine.hello();
  EXPECT_EQ(engine.run(a_job(), false, 1, Clock::now()).new_tokens, 5);
}

TEST_F(EngineProcess, ItsChildrenAreKilledToo) {
  testing::TempFolder folder;
  const auto note = folder / "pid";
  EXPECT_THAT(fault_of<EngineFault>("fault=hang_with_child,note=" + note.string(), false),
              HasSubstr("gave no answer in time"));
  const pid_t child = std::stoi(testing::content_of(note));
  const auto stat = "/proc/" + std::to_string(child) + "/stat";
  const auto alive = [&] {  // whoever adopted it may not have buried it yet
    const auto text = testing::content_of(stat);
    return !text.empty() && text.at(text.rfind(')') + 2) != 'Z';
  };
  for (int i = 0; i < 2000 && alive(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(alive());
}

// A pipe is open as long as anybody holds it: what counts is the process.
TEST_F(EngineProcess, ItsEndIsNoticedThoughAChildHoldsItsPipes) {
  testing::TempFolder folder;
  const std::string note = folder / "pid";
  for (const bool answers : {false, true}) {
    Engine engine(fake(concat("fault=ends_with_", answers ? "answer" : "child", ",note=", note)),
                  {}, {10, 10, 600, 1});
    engine.hello();
    engine.load("model");
    const auto begin = Clock::now();
    if (answers) {  // what it wrote before its end is read
      EXPECT_EQ(engine.run(a_job(), false, 1, begin).new_tokens, 5);
    }
    EXPECT_THAT(error_of<EngineFault>([&] { engine.run(a_job(), false, 1, begin); }),
                HasSubstr("ended with exit code 3"));
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(60));  // not 600
    const auto stat = "/proc/" + testing::content_of(note) + "/stat";
    const auto alive = [&] {
      const auto text = testing::content_of(stat);
      return !text.empty() && text.at(text.rfind(')') + 2) != 'Z';
    };
    for (int i = 0; i < 2000 && alive(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(alive());
  }
}

TEST_F(EngineProcess, AnAnswerBeforeTheQuestionIsAFault) {
  Engine engine(fake("fault=answers_ahead"), {}, kShort);
  engine.hello();
  engine.run(a_job(), false, 1, Clock::now());
  EXPECT_THAT(error_of<EngineFault>([&] { engine.run(a_job(), false, 1, Clock::now()); }),
              HasSubstr("answered before it was asked"));
}

TEST_F(EngineProcess, LimitsThatNoResultCanHoldAreMissing) {
  Engine engine(fake(), {}, kShort);
  engine.hello();
  const auto limits = engine.limits();
  ASSERT_EQ(limits.size(), 3);
  EXPECT_EQ(limits[1].value.reason, "lost");
}

TEST_F(EngineProcess, NotReadingIsAFaultToo) {
  EngineSpec spec = parse_engine("deaf@sleep_forever");
  testing::TempFolder folder;
  spec.program = folder.write("deaf.sh", "#!/bin/sh\nsleep 600\n");
  std::filesystem::permissions(spec.program, std::filesystem::perms::owner_all);
  Engine engine(spec, {}, {1, 1, 1, 1});
  Job job = a_job();
  job.prompt_ids.assign(1 << 20, 12345);
  EXPECT_THAT(error_of<EngineFault>([&] { engine.run(job, false, 1, Clock::now()); }),
              HasSubstr("does not read what it is sent"));
}

TEST_F(EngineProcess, AProgramThatIsNotThereIsNamed) {
  EXPECT_THAT(error_of<EngineFault>([] { Engine(parse_engine("x@/no/such/program"), {}); }),
              HasSubstr("cannot start /no/such/program: No such file"));
}

TEST_F(EngineProcess, InterruptsEndTheWait) {
  std::atomic<bool> stop{false};
  Engine engine(fake("fault=hang"), {}, {10, 10, 600, 1}, &stop);
  engine.hello();
  std::thread user([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  EXPECT_THROW(engine.run(a_job(), false, 1, Clock::now()), Interrupted);
  user.join();
}

TEST_F(EngineProcess, AnInterruptedEngineIsNotWaitedForAtItsEnd) {
  std::atomic<bool> stop{false};
  Engine engine(fake("fault=hang"), {}, {10, 10, 0.1, 600}, &stop);
  engine.hello();
  engine.pause();  // it will not see that its input was closed
  stop = true;
  const auto begin = Clock::now();
  engine.bye();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(60));
}

}  // namespace
}  // namespace hearth::lab
