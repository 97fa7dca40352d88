// The tokenizer: time to load, and MB/s of encoding and decoding 10 MB of English stories from
// ../shared (or $HEARTH_SHARED), on one thread: with tiny-phi, phi-2 and the real files that
// `python tools/tokenizer_goldens.py fetch` brings. Run from the root of the repository.
// tools/tokenizer_speed.py sets it beside Hugging Face's.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <vector>

#include "hearth/llm/tokenizer.h"

namespace {

using hearth::llm::Tokenizer;
namespace fs = std::filesystem;

const fs::path shared = std::getenv("HEARTH_SHARED") ? std::getenv("HEARTH_SHARED") : "../shared";
std::string stories;

const Tokenizer& loaded(const fs::path& folder) {
  static std::map<fs::path, Tokenizer> all;
  return all.try_emplace(folder, Tokenizer::load(folder)).first->second;
}

void rate(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * stories.size()));
}

void load(benchmark::State& state, const fs::path& folder) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(folder));
}

void encode(benchmark::State& state, const fs::path& folder) {
  const Tokenizer& tokenizer = loaded(folder);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(stories));
  rate(state);
}

// As `hearth tokenize --jsonl` does: one short text after the other.
void encode_lines(benchmark::State& state, const fs::path& folder) {
  const Tokenizer& tokenizer = loaded(folder);
  for (auto _ : state)
    for (size_t at = 0; at < stories.size();) {
      const size_t end = std::min(stories.find('\n', at), stories.size() - 1);
      benchmark::DoNotOptimize(
          tokenizer.encode(std::string_view(stories).substr(at, end + 1 - at)));
      at = end + 1;
    }
  rate(state);
}

// No word is remembered from an earlier text.
void encode_cold(benchmark::State& state, const fs::path& folder) {
  for (auto _ : state) {
    state.PauseTiming();
    const Tokenizer fresh = Tokenizer::load(folder);
    state.ResumeTiming();
    benchmark::DoNotOptimize(fresh.encode(stories));
  }
  rate(state);
}

void decode(benchmark::State& state, const fs::path& folder) {
  const Tokenizer& tokenizer = loaded(folder);
  const auto ids = tokenizer.encode(stories);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids));
  rate(state);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const fs::path file = shared / "data/stories.txt.xz";
  if (!fs::exists(file)) {
    std::cerr << "bench_tokenizer needs " << file << "; set HEARTH_SHARED to its ../..\n";
    return 1;
  }
  FILE* xz = popen(("xz -dc '" + file.string() + "'").c_str(), "r");
  stories.resize(10'000'000);
  stories.resize(xz ? std::fread(stories.data(), 1, stories.size(), xz) : 0);
  if (xz) pclose(xz);
  std::vector<fs::path> folders = {"models/tiny-phi", shared / "data/phi-2"};
  const char* named = std::getenv("HEARTH_TOKENIZERS");
  const fs::path real = named ? fs::path(named) : shared / "tokenizers";
  if (fs::exists(real))
    for (const auto& entry : fs::directory_iterator(real)) folders.push_back(entry.path());
  std::sort(folders.begin() + 2, folders.end());
  for (const fs::path& folder : folders) {
    if (!fs::exists(folder)) continue;
    const auto add = [&](const char* what, auto* run) {
      benchmark::RegisterBenchmark((std::string(what) + " " + folder.filename().string()).c_str(),
                                   run, folder)
          ->Unit(benchmark::kMillisecond);
    };
    add("load", load);
    add("encode", encode);
    add("encode_lines", encode_lines);
    add("encode_cold", encode_cold);
    add("decode", decode);
  }
  benchmark::RunSpecifiedBenchmarks();
}
