// No GPU that works: the sentence says why, and the CPU does the work. The driver is one of ours
// (tests/backend/fake_cuda.cpp), in front of the machine's.
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

class cliWithoutGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(fake_cuda_folder() + "/libcuda.so.1"))
      GTEST_SKIP() << "the driver made for this test is not here: " << fake_cuda_folder();
  }
  static Finished with_driver(const std::string& answers, Words args) {
    const char* before = std::getenv("LD_LIBRARY_PATH");
    const std::string path =
        "LD_LIBRARY_PATH=" + fake_cuda_folder() + (before ? ":" : "") + (before ? before : "");
    return run_hearth(std::move(args), "", {path, "FAKE_CUDA=" + answers, "HEARTH_DEVICE="});
  }
};

TEST_F(cliWithoutGpu, InfoSaysWhy) {
  const std::pair<const char*, const char*> all[] = {
      {"version=12080",
       "no cuda  the NVIDIA driver is too old: it supports CUDA 12.8, wanted 13.0 or newer\n"},
      {"init=100",
       "no cuda  no GPU is visible (no CUDA-capable device is detected); CUDA_VISIBLE_DEVICES may "
       "hide it\n"},
      {"init=999", "no cuda  the NVIDIA driver does not start: unknown error (cudaErrorUnknown)\n"},
      {"init=803",
       "no cuda  the NVIDIA driver does not start: system has unsupported display driver / cuda "
       "driver combination (cudaErrorSystemDriverMismatch)\n"}};
  for (const auto& [answers, sentence] : all) {
    const Finished f = with_driver(answers, {"info"});
    EXPECT_EQ(f.exit_code, 0) << answers;
    EXPECT_THAT(f.out, HasSubstr(sentence)) << answers;
    EXPECT_THAT(f.out, HasSubstr("device   cpu: ")) << answers;
    EXPECT_EQ(f.err, "") << answers;
  }
}

TEST_F(cliWithoutGpu, TheCpuWorksAndCudaIsRefusedWithTheReason) {
  const std::string model = source_path("models/tiny-phi").string();
  const Words work = {"generate", "--model", model, "--prompt", "Once", "--max-tokens", "3"};
  for (const char* answers : {"version=11040", "init=100", "init=999"}) {
    const Finished cpu = with_driver(answers, work);
    EXPECT_EQ(cpu.exit_code, 0) << cpu.err;
    EXPECT_FALSE(cpu.out.empty());
    Words on_gpu = work;
    on_gpu.insert(on_gpu.end(), {"--device", "cuda"});
    const Finished gpu = with_driver(answers, on_gpu);
    EXPECT_EQ(gpu.exit_code, 2) << answers;
    EXPECT_EQ(gpu.out, "") << answers;
    EXPECT_THAT(gpu.err, HasSubstr("device: there is no device cuda (")) << answers;
    EXPECT_THAT(gpu.err, HasSubstr("; there are: cpu")) << answers;
  }
}

TEST(cli, CudaHiddenByTheEnvironmentLeavesTheCpu) {
  const std::string model = source_path("models/tiny-phi").string();
  const Words work = {"generate", "--model", model, "--prompt", "Once", "--max-tokens", "3"};
  const std::vector<std::string> hidden = {"CUDA_VISIBLE_DEVICES=", "HEARTH_DEVICE="};
  EXPECT_EQ(run_hearth(work, "", hidden).exit_code, 0);
  const Finished info = run_hearth({"info"}, "", hidden);
  EXPECT_EQ(info.exit_code, 0);
  EXPECT_THAT(info.out, HasSubstr("no cuda  "));
  for (const char* device : {"cuda", "cuda:7"}) {
    Words on_gpu = work;
    on_gpu.insert(on_gpu.end(), {"--device", device});
    const Finished gpu = run_hearth(on_gpu, "", hidden);
    EXPECT_EQ(gpu.exit_code, 2);
    EXPECT_THAT(gpu.err, HasSubstr(std::string("there is no device ") + device + " ("));
  }
}

}  // namespace
}  // namespace hearth::testing
