#include "hearth/llm/tokenizer/unigram.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

constexpr uint32_t kNowhere = ~uint32_t{0};

// A score as serde_json reads it, which Hugging Face's tokenizers do: its digits as an integer,
// times or by a power of ten. That is off by a bit now and then, and a bit decides between ways
// that are equal but for the order of their tokens.
double as_serde_reads(double score) {
  char text[64];
  const char* end =
      std::to_chars(text, text + sizeof text, score, std::chars_format::scientific).ptr;
  uint64_t significand = 0;
  int exponent = 0;
  const char* at = text + (score < 0);
  for (bool fraction = false; at < end && *at != 'e'; ++at) {
    if (*at == '.') {
      fraction = true;
      continue;
    }
    significand = significand * 10 + uint64_t(*at - '0');
    exponent -= fraction;
  }
  int written = 0;
  if (at < end) std::from_chars(at + 1 + (at[1] == '+'), end, written);
  exponent += written;
  double digits = double(significand);
  const auto power = [](int n) {
    const std::string text = concat("1e", n);
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  for (; exponent < -308; exponent += 308) digits /= 1e308;
  digits = exponent < 0 ? digits / power(-exponent) : digits * power(exponent);
  return score < 0 ? -digits : digits;
}

Trie trie_of(const Vocab& vocab) {
  std::vector<std::pair<std::string_view, int>> texts;
  for (const Token& token : vocab.tokens())
    if (token.in_model) texts.emplace_back(token.text, token.id);
  return Trie(std::move(texts));
}

}  // namespace

Unigram::Unigram(const Vocab& vocab, std::vector<double> scores, Options options)
    : trie_(trie_of(vocab)), scores_(std::move(scores)), options_(options) {
  for (int b = 0; b < 256; ++b) byte_ids_[b] = vocab.id(byte_token(static_cast<unsigned char>(b)));
}

Unigram Unigram::read(const nlohmann::json& model, const Vocab& vocab) {
  const char* const where = "model Unigram";
  const auto& entries = array_member(model, "vocab", where);
  std::vector<double> scores;
  Options options;
  options.unknown_score = std::numeric_limits<double>::infinity();
  for (const auto& entry : entries) {
    const bool pair = entry.is_array() && entry.size() == 2 && entry[1].is_number();
    ensure(pair, where, ": entry ", scores.size(), " of vocab is not a token and its score");
    const double score = entry[1].get<double>();
    scores.push_back(std::isfinite(score) ? as_serde_reads(score) : score);
    ensure(std::isfinite(scores.back()), where, ": the score of token ", scores.size() - 1,
           " is not finite");
    options.unknown_score = std::min(options.unknown_score, scores.back());
  }
  options.unknown_score -= 10;
  options.byte_fallback = bool_member(model, "byte_fallback", false, where);
  const auto& unknown = member(model, "unk_id", where);
  if (!unknown.is_null()) {
    options.unknown = id_of(unknown, "model Unigram: unk_id");
    ensure(size_t(options.unknown) < entries.size(), where, ": unk_id ", options.unknown, " of ",
           entries.size(), " tokens");
  }
  return {vocab, std::move(scores), options};
}

void Unigram::append_unknown(std::string_view text, const Vocab& vocab,
                             std::vector<int>& ids) const {
  // Several unknown characters may be a token together, though one too unlikely to be chosen.
  const int token = options_.single_precision ? -1 : vocab.model_id(text);
  if (token >= 0) return ids.push_back(token);
  const auto id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (options_.byte_fallback &&
      std::all_of(text.begin(), text.end(), [&](char c) { return id(c) >= 0; }))
    for (const char c : text) ids.push_back(id(c));
  else
    ids.push_back(options_.unknown);
}

void Unigram::encode(std::string_view piece, const Vocab& vocab, Memory& memory,
                     std::vector<int>& ids) const {
  using Node = Memory::Node;
  auto& nodes = memory.nodes;
  nodes.assign(piece.size() + 1, Node{0, 0, kNowhere});
  const auto rounded = [&](double sum) {
    return options_.single_precision ? double(float(sum)) : sum;
  };
  size_t last = 0;  // that a way leads to
  for (size_t at = 0; at < piece.size();) {
    // sentencepiece keeps the sums small.
    if (options_.single_precision && std::abs(nodes[at].score) > 100'000) {
      const double far = nodes[at].score;
      for (size_t i = at; i <= last; ++i)
        if (i == at || nodes[i].from != kNowhere) nodes[i].score = rounded(nodes[i].score - far);
    }
    const double before = nodes[at].score;
    const auto offer = [&](size_t end, double score, int id) {
      Node& node = nodes[end];
      last = std::max(last, end);
      const double sum = rounded(score + before);
      if (node.from == kNowhere || sum > node.score) node = {sum, id, static_cast<uint32_t>(at)};
    };
    const size_t length = size_t(utf8_step(piece.substr(at)).length);
    bool single = false;  // whether the character alone is a token
    int node = Trie::kRoot;
    for (size_t end = at; end < piece.size();) {
      node = trie_.step(node, piece[end++]);
      if (node < 0) break;
      const int id = trie_.value(node);
      if (id < 0) continue;
      offer(end, scores_[id], id);
      single |= end - at == length;
    }
    if (!single) {
      ensure(options_.unknown >= 0, "tokenizer: the text has '", piece.substr(at, length),
             "', which is in no token, and the model's unk_id is null");
      offer(at + length, options_.unknown_score, options_.unknown);
    }
    at += length;
  }
  auto& ends = memory.ends;
  ends.clear();
  for (size_t end = piece.size(); end > 0; end = nodes[end].from)
    ends.push_back(static_cast<uint32_t>(end));
  for (size_t i = ends.size(), from = 0; i-- > 0; from = ends[i]) {
    const int id = nodes[ends[i]].id;
    if (id != options_.unknown) {
      ids.push_back(id);
      continue;
    }
    while (i > 0 && nodes[ends[i - 1]].id == id) --i;  // neighbours that are unknown are one
    append_unknown(piece.substr(from, ends[i] - from), vocab, ids);
  }
}

}  // namespace hearth::llm
