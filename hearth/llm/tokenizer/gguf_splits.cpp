#include "hearth/llm/tokenizer/gguf_splits.h"

#include "hearth/llm/tokenizer/expressions.h"
#include "hearth/llm/tokenizer/pre_tokenizer.h"

namespace hearth::llm {

namespace {

// The letters of scripts with two cases, as DeepSeek's first tokenizers list them.
const std::string kLetters =
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388})"
    R"(-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531})"
    R"(-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD})"
    R"(-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15})"
    R"(\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"
    R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2})"
    R"(-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D})"
    R"(\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"
    R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB})"
    R"(-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771})"
    R"(-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8})"
    R"(-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900})"
    R"(-\x{1E943})";
const std::string kHan = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
const std::string kKana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
const std::string kCase =  // capitals, then small letters
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)";
const std::string kCapitals =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)";
const std::string kWord = R"(|[^\r\n\p{L}\p{N}]?\p{L}+)";
const std::string kSigns = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)";
const std::string kSentence =
    R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)";
const std::string kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*)" +
    kSpaces;
const std::string kLines = R"([^\n]+|[\n]+)";

const GgufSplit kSplits[] = {
    {.names = {"default"},
     .expressions = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    {.names = {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de",
               "a.x-4.0", "mellum", "modern-bert", "jina-v1-en", "jina-v2-code", "roberta-bpe",
               "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling"},
     .expressions = {kGpt2Pattern}},
    {.names = {"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
               "mellum2"},
     .expressions = {R"(\p{N})", kGpt2Pattern}},
    {.names = {"falcon"},
     .expressions = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Pattern, "[0-9][0-9][0-9]"}},
    {.names = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
               "lfm2", "jina-v5-nano"},
     .expressions = {kLlama3},
     .ignore_merges = true,
     .add_bos = true},
    {.names = {"dbrx", "smaug-bpe", "chatglm-bpe"}, .expressions = {kLlama3}},
    {.names = {"glm4", "glm5"}, .expressions = {kLlama3}, .ignore_merges = true},
    {.names = {"jais-2"},
     .expressions = {kContractions + kWord + R"(|\p{N}{1,3})" + kSigns +
                     R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S))"
                     R"(|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"}},
    {.names = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"},
     .expressions = {kQwen},
     .nfc = true},
    {.names = {"stablelm2", "hunyuan", "solar-open", "grok-2"}, .expressions = {kQwen}},
    {.names = {"qwen35"},
     .expressions = {kContractions +
                     R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" +
                     kSpaces}},
    {.names = {"ufakzeka"},
     .expressions = {R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" + kSigns + kSpaces}},
    {.names = {"seed-coder"},
     .expressions = {kContractions + kWord + R"(|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)" + kSpaces}},
    {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
     .expressions = {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N})"
                     R"(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"}},
    {.names = {"exaone-moe"},
     .expressions = {kContractions + R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N})"
                                     R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"}},
    {.names = {"laguna"}, .expressions = {kLines, kQwen}},
    {.names = {"minicpm5"},
     .expressions = {R"(\p{N}{1,3})", kContractions + kWord + R"(|\p{N}+)" + kSigns + kSpaces},
     .ignore_merges = true},
    {.names = {"deepseek-llm"},
     .expressions = {R"([\r\n])", R"(\s?[)" + kLetters + "]+",
                     R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-)"
                     R"(\x{3002}]+)",
                     R"(\s+$)", kHan, R"(\p{N}+)"}},
    {.names = {"deepseek-coder"},
     .expressions = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kHan, R"(\p{N})"}},
    {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
     .expressions = {R"(\p{N}{1,3})", kKana, kDeepseek3}},
    {.names = {"spark2_5"},
     .expressions = {R"(\p{N}{1,3})", kKana,
                     R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
                     R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
                     R"(| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)",
                     R"(\p{N})"}},
    {.names = {"chameleon"},
     .expressions = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                     R"([\t\n]|    |  )", R"(\p{N})", R"([\p{P}!-/:-@\[-`{-~])", kGpt2Pattern},
     .add_bos = true},
    {.names = {"poro-chat", "bloom", "gpt3-finnish"}, .expressions = {kSentence}},
    {.names = {"viking"}, .expressions = {kSentence, R"(\p{N})"}},
    {.names = {"tekken"},
     .expressions = {kCase + "|" + kCapitals + R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpaces},
     .ignore_merges = true,
     .add_bos = true},
    {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, .expressions = {kO200k}},
    {.names = {"granite-embed-multi-97m"}, .expressions = {kO200k}, .ignore_merges = true},
    {.names = {"tiny_aya", "cohere2moe"}, .expressions = {R"(\d{1,3}(?=(?:\d{3})*\b))", kO200k}},
    {.names = {"kimi-k2"}, .expressions = {kKimi}, .ignore_merges = true},
    {.names = {"youtu"},
     .expressions = {R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+)"
                     R"(|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B})"
                     R"(\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+)"
                     R"(|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
                     kCase + kContractions + "?|" + kCapitals + kContractions +
                         R"(?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpaces},
     .ignore_merges = true},
    {.names = {"gemma4", "granite-embed-multi-311m", "sarvam-moe"},
     .expressions = {kLines},
     .bytes = false},
};

}  // namespace

std::span<const GgufSplit> gguf_splits() { return kSplits; }

const GgufSplit* find_gguf_split(std::string_view name) {
  if (name.empty()) name = "default";
  for (const GgufSplit& split : kSplits)
    for (const std::string_view known : split.names)
      if (known == name) return &split;
  return nullptr;
}

}  // namespace hearth::llm
