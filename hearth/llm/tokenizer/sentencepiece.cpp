// tokenizer.model: sentencepiece's protocol buffer, by a reader of the few fields that matter.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <map>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/llm/tokenizer/parts.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

/// The fields of a message, one after the other.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  /// Goes to the next field; false at the end. Throws std::runtime_error where the bytes are none.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    field_ = int(std::min<uint64_t>(key >> 3, 1 << 30));
    wire_ = int(key & 7);
    number_ = 0;
    bytes_ = {};
    switch (wire_) {
      case 0: number_ = varint(); break;
      case 1: bytes_ = take(8); break;
      case 2: bytes_ = take(varint()); break;
      case 5: bytes_ = take(4); break;
      default: refuse();
    }
    return true;
  }

  int field() const { return field_; }
  uint64_t number() const { return wire_ == 0 ? number_ : (refuse(), 0); }
  bool flag() const { return number() != 0; }
  std::string_view bytes() const { return wire_ == 2 ? bytes_ : (refuse(), bytes_); }
  float real() const {
    if (wire_ != 5) refuse();
    float value;
    std::memcpy(&value, bytes_.data(), 4);
    return value;
  }

 private:
  [[noreturn]] static void refuse() {
    throw std::runtime_error("not a model of sentencepiece, or a damaged one");
  }
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) refuse();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse();
  }

  std::string_view rest_, bytes_;
  int field_ = 0, wire_ = 0;
  uint64_t number_ = 0;
};

struct SentencePiece {
  enum Type { normal = 1, unknown, control, user_defined, unused, byte };
  std::string_view text;
  float score = 0;
  int type = normal;
};

SentencePiece read_piece(std::string_view bytes) {
  SentencePiece piece;
  for (Fields field(bytes); field.next();) {
    if (field.field() == 1) piece.text = field.bytes();
    if (field.field() == 2) piece.score = field.real();
    if (field.field() == 3) piece.type = int(std::min<uint64_t>(field.number(), 100));
  }
  return piece;
}

struct Proto {
  std::vector<SentencePiece> pieces;
  // Of the trainer's and the normalizer's specification, with their default values.
  int model_type = 1;
  bool byte_fallback = false;
  std::string unknown_surface = " \xE2\x81\x87 ", bos = "<s>", eos = "</s>", pad = "<pad>",
              unknown = "<unk>";
  Sentencepiece normalizer;
};

void read_trainer(std::string_view bytes, Proto& proto) {
  for (Fields field(bytes); field.next();) switch (field.field()) {
      case 3: proto.model_type = int(std::min<uint64_t>(field.number(), 100)); break;
      case 24: proto.normalizer.whitespace_as_suffix = field.flag(); break;
      case 35: proto.byte_fallback = field.flag(); break;
      case 44: proto.unknown_surface = field.bytes(); break;
      case 45: proto.unknown = field.bytes(); break;
      case 46: proto.bos = field.bytes(); break;
      case 47: proto.eos = field.bytes(); break;
      case 48: proto.pad = field.bytes(); break;
    }
}

void read_normalizer(std::string_view bytes, Sentencepiece& normalizer) {
  for (Fields field(bytes); field.next();) switch (field.field()) {
      case 2:
        if (!field.bytes().empty())
          normalizer.charsmap = std::make_shared<const Charsmap>(field.bytes());
        break;
      case 3: normalizer.add_dummy_prefix = field.flag(); break;
      case 4: normalizer.remove_extra_whitespaces = field.flag(); break;
      case 5: normalizer.escape_whitespaces = field.flag(); break;
    }
}

Proto read_proto(std::string_view bytes) {
  Proto proto;
  for (Fields field(bytes); field.next();) switch (field.field()) {
      case 1: proto.pieces.push_back(read_piece(field.bytes())); break;
      case 2: read_trainer(field.bytes(), proto); break;
      case 3: read_normalizer(field.bytes(), proto.normalizer); break;
      case 5: {
        Sentencepiece denormalizer;
        read_normalizer(field.bytes(), denormalizer);
        ensure(!denormalizer.charsmap, "its denormalizer is not supported");
        break;
      }
    }
  ensure(!proto.pieces.empty(), "not a model of sentencepiece: it has no pieces");
  ensure(valid_utf8(proto.unknown_surface), "its unk_surface is not UTF-8");
  return proto;
}

Model unigram_of(const Proto& proto, const Vocab& vocab, int unknown) {
  float least = FLT_MAX;
  for (const auto& piece : proto.pieces)
    if (piece.type == SentencePiece::normal) least = std::min(least, piece.score);
  std::vector<double> scores;
  for (const auto& piece : proto.pieces)  // a piece of the user's is always taken
    scores.push_back(piece.type == SentencePiece::user_defined
                         ? float(0.1 * (double(piece.text.size()) - 1))
                         : piece.score);
  return Model(Unigram(vocab, std::move(scores),
                       {.unknown_score = least - 10.0f,
                        .unknown = unknown,
                        .byte_fallback = proto.byte_fallback,
                        .single_precision = true}));
}

Model bpe_of(const Proto& proto, const Vocab& vocab, int unknown) {
  std::map<float, uint32_t, std::greater<>> order;
  for (const auto& piece : proto.pieces)
    if (piece.type == SentencePiece::normal) order[piece.score] = 0;
  uint32_t rank = 0;
  for (auto& [score, place] : order) place = rank++;
  std::vector<uint32_t> ranks;
  for (const auto& piece : proto.pieces)
    ranks.push_back(piece.type == SentencePiece::normal ? order[piece.score] : Bpe::kNoRank);
  Bpe::Options options;
  options.fuse_unknown = true;
  options.byte_fallback = proto.byte_fallback;
  options.unknown = unknown;
  return Model(Bpe::of_ranks(ranks, vocab, std::move(options)));
}

}  // namespace

TokenizerParts parse_sentencepiece(std::string_view bytes, TokenizerConfig& config) {
  Proto proto = read_proto(bytes);
  const bool unigram = proto.model_type == 1;
  constexpr std::string_view kTypes[] = {"?", "unigram", "bpe", "word", "char"};
  ensure(unigram || proto.model_type == 2, "the model type '",
         kTypes[proto.model_type < 5 ? proto.model_type : 0], "' is not one of unigram, bpe");
  std::vector<Token> tokens;
  std::vector<AddedToken> added;
  std::vector<std::pair<std::string_view, int>> kept;
  int unknown = -1;
  for (const auto& [text, score, type] : proto.pieces) {
    const int id = int(tokens.size());
    ensure(!text.empty() && valid_utf8(text), "piece ", id, " is empty or not UTF-8");
    ensure(std::isfinite(score), "piece ", id, ": its score is not finite");
    ensure(type >= SentencePiece::normal && type <= SentencePiece::byte, "piece ", id,
           ": its type ", type, " is not known");
    ensure(unigram || type != SentencePiece::unused, "piece ", id,
           " is of the type unused, which is not supported for bpe");
    const bool special = type == SentencePiece::control || type == SentencePiece::unknown;
    const bool users = type == SentencePiece::user_defined;
    if (type == SentencePiece::unknown) unknown = id;
    if (users) kept.emplace_back(text, id);
    if (special || (users && !unigram))
      added.push_back(
          {.id = id, .content = std::string(text), .normalized = !special, .special = special});
    tokens.push_back({id, std::string(text), type == SentencePiece::normal || (users && unigram)});
  }
  ensure(unknown >= 0, "it has no piece for the unknown");
  Vocab vocab(std::move(tokens));
  if (!kept.empty()) proto.normalizer.kept = std::make_shared<const Trie>(std::move(kept));
  const auto name = [&](std::string& named, const std::string& piece) {
    if (named.empty() && vocab.id(piece) >= 0) named = piece;
  };
  name(config.bos_token, proto.bos);
  name(config.eos_token, proto.eos);
  name(config.pad_token, proto.pad);
  name(config.unk_token, proto.unknown);
  Surround surround;
  if (config.add_bos_token.value_or(false) && vocab.id(config.bos_token) >= 0)
    surround.prefix = {vocab.id(config.bos_token)};
  if (config.add_eos_token.value_or(false) && vocab.id(config.eos_token) >= 0)
    surround.suffix = {vocab.id(config.eos_token)};
  const bool squeezes = proto.normalizer.remove_extra_whitespaces;
  TokenDecoder decoder(
      {TokenDecoder::Sentencepiece{proto.normalizer.add_dummy_prefix || squeezes, squeezes}});
  Model model = unigram ? unigram_of(proto, vocab, unknown) : bpe_of(proto, vocab, unknown);
  return {.vocab = std::move(vocab),
          .added = std::move(added),
          .normalizer = Normalizer(std::move(proto.normalizer)),
          .pre_tokenizer = {},
          .model = std::move(model),
          .surround = std::move(surround),
          .decoder = std::move(decoder),
          .shown = {{unknown, std::move(proto.unknown_surface)}},
          .normalize_added = false};
}

}  // namespace hearth::llm
