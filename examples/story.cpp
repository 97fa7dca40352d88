// A language model in a few lines: story MODEL_FOLDER [PROMPT].
#include <iostream>

#include "hearth/llm/generate.h"

using namespace hearth::llm;

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: story MODEL_FOLDER [PROMPT]\n";
    return 2;
  }
  try {
    const auto model = load_model(argv[1]);
    const auto tokenizer = Tokenizer::load(argv[1]);
    GenerateOptions options;
    options.max_tokens = 100;
    options.stop_ids = model->facts.eos;
    const auto prompt = tokenizer.encode(argc > 2 ? argv[2] : "Once upon a time");
    const auto out = generate(
        *model, prompt, options,
        [](int, std::string_view text) { return bool(std::cout << text << std::flush); },
        &tokenizer);
    std::cout << "\n" << out.decode_tokens_per_s() << " tokens/s\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
