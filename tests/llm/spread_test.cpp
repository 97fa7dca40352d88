// Models of which a part runs on the CPU and the rest on a device: what they compute, and where.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "hearth/core/eval.h"
#include "hearth/llm/generate.h"
#include "tests/backend/null_backend.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/llm/tiny_logits.h"
#include "tests/paths.h"

namespace hearth::llm {
namespace {

using testing::TinyCheckpoint;

bool on_a_device() {
  const char* const named = std::getenv("HEARTH_DEVICE");
  return named && parse_device(named) != Device(Device::cpu);
}
/// The device that the tests run on, or one without hardware, whose work the CPU does.
Device other() {
  if (on_a_device()) return parse_device(std::getenv("HEARTH_DEVICE"));
  testing::null_backend();
  return {Device::vulkan, 0};
}

class Spread : public ::testing::Test {
 protected:
  Spread() : before_(default_device()) {}
  ~Spread() override {
    testing::null_backend().free = 0;
    set_default_device(before_);
  }
  std::unique_ptr<LanguageModel> on(Device device, const std::filesystem::path& path,
                                    const LoadOptions& options = {}) {
    set_default_device(device);
    return load_model(path, options);
  }

 private:
  const Device before_;
};
class SpreadFamilies : public Spread, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tiny, SpreadFamilies, ::testing::ValuesIn(TinyCheckpoint::names()),
                         [](const auto& info) { return info.param; });

/// Is it in the device's memory? What a file maps is there as a copy.
bool is_on(Device device, const fast::Matrix& m) {
  const Storage& storage = *m.planes()[0].node().storage;
  return (storage.owner && storage.owner->device() == device) ||
         std::ranges::any_of(storage.copies, [&](const Storage::Copy& copy) {
           return copy.owner->device() == device;
         });
}

TEST_P(SpreadFamilies, ComputesWhatOneDeviceDoes) {
  const Device device = other();
  const TinyCheckpoint checkpoint(GetParam());
  const std::vector<int>& ids = checkpoint.prompts[0].ids;
  const auto whole = on(Device::cpu, checkpoint.path());
  const std::map<size_t, std::vector<float>> wanted{{1, logits_of(*whole, ids, 1)},
                                                    {3, logits_of(*whole, ids, 3)}};
  const int layers = whole->facts.layers;
  const LoadOptions cases[] = {{.device_layers = 0},
                               {.device_layers = 1},
                               {.device_layers = layers},
                               {.host_experts = LoadOptions::kAll},
                               {.device_layers = layers - 1, .host_experts = layers}};
  for (const LoadOptions& options : cases) {
    SCOPED_TRACE(concat(options.device_layers.value_or(-1), " layers on the device, experts of ",
                        options.host_experts.value_or(0), " on the CPU"));
    const auto model = on(device, checkpoint.path(), options);
    for (const auto& [step, logits] : wanted)
      EXPECT_LE(difference(logits_of(*model, ids, step), logits), 2e-4f) << step;
    const nn::Parameters all = model->parameters();
    for (const auto& [name, p] : all) {
      const bool host = model->facts.host.holds(name, !all.contains("lm_head.weight"));
      EXPECT_EQ(is_on(device, p.value()), !host) << name;
    }
  }
}

// Steps of one device are recorded, of two they are not.
TEST_F(Spread, DecodesTheSameTokens) {
  const auto path = testing::source_dir() / "models/tiny-phi";
  const std::vector<int> ids{1, 2, 3};
  GenerateOptions options;
  options.max_tokens = 12;
  const auto whole = on(Device::cpu, path);
  const auto wanted = generate(*whole, ids, options).ids;
  for (const int layers : {0, 2}) {
    const auto model = on(other(), path, {.device_layers = layers});
    EXPECT_EQ(model->facts.host.layers, model->facts.layers - layers);
    EXPECT_EQ(generate(*model, ids, options).ids, wanted) << layers;
  }
}

TEST_F(Spread, TakesWhatTheDeviceHasRoomFor) {
  if (on_a_device()) GTEST_SKIP() << "a device says what it has itself";
  const auto path = testing::source_dir() / "models/tiny-phi";
  const auto host = [&](size_t free) {
    testing::null_backend().free = free;
    return on(other(), path)->facts.host;
  };
  const auto whole = on(other(), path);
  const size_t weights = whole->facts.weights_bytes;
  EXPECT_EQ(host(4 * weights).layers, 0);
  int before = 0;
  for (const size_t free : {weights, weights / 2, weights / 3}) {
    const int layers = host(free).layers;
    EXPECT_GT(layers, before);
    EXPECT_LT(layers, whole->facts.layers);
    before = layers;
  }
  // Not even the head.
  EXPECT_THROW(host(1000), std::runtime_error);
  // What was asked for is not second-guessed, but refused where it has no room.
  testing::null_backend().free = weights / 2;
  EXPECT_THROW(on(other(), path, {.device_layers = whole->facts.layers}), std::runtime_error);
  EXPECT_EQ(on(other(), path, {.device_layers = 1})->facts.host.layers, whole->facts.layers - 1);
}

TEST_F(Spread, ExpertsGoFirst) {
  if (on_a_device()) GTEST_SKIP() << "a device says what it has itself";
  const TinyCheckpoint checkpoint("qwen3_moe");
  const auto whole = on(other(), checkpoint.path());
  size_t experts = 0;
  for (const auto& [name, p] : whole->parameters())
    if (name.find(".experts.") != name.npos) experts += p.nbytes();
  ASSERT_GT(experts, 0u);
  const size_t state = whole->state_bytes(std::min(4096, whole->facts.context_length), float32);
  testing::null_backend().free = (whole->facts.weights_bytes + state - experts / 4) * 16 / 15 + 64;
  const OnHost host = on(other(), checkpoint.path())->facts.host;
  EXPECT_EQ(host.layers, 0);
  EXPECT_EQ(host.experts, 1);
}

TEST_F(Spread, NeedsADevice) {
  const auto path = testing::source_dir() / "models/tiny-phi";
  EXPECT_THROW(on(Device::cpu, path, {.device_layers = 1}), std::invalid_argument);
  EXPECT_THROW(on(other(), path, {.device_layers = -1}), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::llm
