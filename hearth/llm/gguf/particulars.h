// What single architectures say in a way of their own, as fields of config.json.
#pragma once
#include "hearth/llm/gguf/architecture.h"

namespace hearth::llm::particulars {

using More = void(const GgufKeys& keys, nlohmann::json& config);
More llama;
More ministral;
More qwen3;
More qwen3_moe;
More gemma;
More gemma4;
More olmo2;
More stablelm;
More starcoder2;
More ernie;
More ernie_moe;
More seed_oss;
More glm4;
More glm4_moe;
More exaone_moe;
More gpt_oss;
More command_r;
More lfm2;
More deepseek2;
More granite_hybrid;
More nemotron_h;
More qwen_delta;
More gpt2;
More apertus;
More hunyuan;

}  // namespace hearth::llm::particulars
