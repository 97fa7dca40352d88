#include "hearth/llm/tokenizer.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/llm/tokenizer/added_tokens.h"
#include "hearth/llm/tokenizer/bpe.h"
#include "hearth/llm/tokenizer/parts.h"
#include "hearth/llm/tokenizer/pre_tokenizer.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

// What one thread needs to encode. It is kept between calls, for the words it remembers.
struct Memory {
  PreTokenizer::Memory pieces;
  Bpe::Memory bpe;
  std::vector<AddedTokens::Part> parts, inner;
};

}  // namespace

struct Tokenizer::Impl {
  TokenizerParts parts;
  TokenizerConfig config;
  AddedTokens as_given, normalized;
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Memory>> free;  // as many as calls ran at once

  Impl(TokenizerParts from, TokenizerConfig facts)
      : parts(std::move(from)),
        config(std::move(facts)),
        as_given(added(false)),
        normalized(added(true)) {}

  std::vector<AddedToken> added(bool normalized_ones) const {
    std::vector<AddedToken> some;
    std::copy_if(parts.added.begin(), parts.added.end(), std::back_inserter(some),
                 [&](const AddedToken& token) { return token.normalized == normalized_ones; });
    return some;
  }

  std::unique_ptr<Memory> take() const {
    const std::lock_guard lock(mutex);
    if (free.empty()) return std::make_unique<Memory>();
    auto memory = std::move(free.back());
    free.pop_back();
    return memory;
  }

  void give_back(std::unique_ptr<Memory> memory) const {
    const std::lock_guard lock(mutex);
    free.push_back(std::move(memory));
  }

  bool special(int id) const {
    return std::binary_search(parts.special.begin(), parts.special.end(), id);
  }

  // Appends the bytes that token `id` stands for; `first` says whether it begins the text.
  void append(int id, bool skip_special, bool& first, std::string& bytes) const {
    if (!parts.vocab.has(id) || (skip_special && special(id))) return;
    if (!first && !parts.byte_level_decoder) bytes += ' ';
    first = false;
    if (parts.byte_level_decoder)
      append_bytes_of(parts.vocab.text(id), bytes);
    else
      bytes += parts.vocab.text(id);
  }

  void encode(std::string_view text, Memory& memory, std::vector<int>& ids) const {
    const auto encode_piece = [&](std::string_view piece) {
      parts.bpe.encode(piece, parts.vocab, memory.bpe, ids);
    };
    const PieceSink sink = std::ref(encode_piece);
    memory.parts.clear();
    as_given.split(text, memory.pieces.regex, memory.parts);
    for (const auto& [outer, outer_id] : memory.parts) {
      if (outer_id >= 0) {
        ids.push_back(outer_id);
        continue;
      }
      memory.inner.clear();
      normalized.split(outer, memory.pieces.regex, memory.inner);
      for (const auto& [part, id] : memory.inner)
        id >= 0 ? ids.push_back(id) : parts.pre_tokenizer.run(part, memory.pieces, sink);
    }
    memory.pieces.made.clear();
  }

  std::optional<int> id_of(std::string_view token) const {
    const int id = parts.vocab.id(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
};

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Tokenizer Tokenizer::load(const std::filesystem::path& folder_or_file) {
  const bool folder = std::filesystem::is_directory(folder_or_file);
  const auto file = folder ? folder_or_file / "tokenizer.json" : folder_or_file;
  ensure(std::filesystem::is_regular_file(file), "tokenizer: no file ", file.string(),
         "; hearth reads tokenizer.json only. If the folder has another form (vocab.json and "
         "merges.txt, or tokenizer.model), transformers writes this one: "
         "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)");
  return from_json(read_file(file), file.string(), TokenizerConfig::load(file.parent_path()));
}

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& name,
                               TokenizerConfig config) {
  try {
    return Tokenizer(std::make_shared<const Impl>(parse_tokenizer(text), std::move(config)));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const nlohmann::json::parse_error&) {
    parse_json(text, "tokenizer: " + name);  // slower, and says what is wrong
    throw;
  } catch (const std::exception& error) {
    throw std::runtime_error(concat("tokenizer: ", name, ": ", error.what()));
  }
}

std::vector<int> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  check(text.size() <= std::numeric_limits<int>::max(), "tokenizer: a text of ", text.size(),
        " bytes; at most 2147483647 at a time");
  std::string clean;
  if (!valid_utf8(text)) text = clean = sanitize_utf8(text);
  const auto& [prefix, suffix] = impl_->parts.surround;
  std::vector<int> ids;
  ids.reserve(text.size() / 4 + prefix.size() + suffix.size());  // English: 4 bytes a token
  if (add_special_tokens) ids = prefix;
  auto memory = impl_->take();  // lost, not given back, where encoding throws: it may be half done
  impl_->encode(text, *memory, ids);
  impl_->give_back(std::move(memory));
  if (add_special_tokens) ids.insert(ids.end(), suffix.begin(), suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int> ids, bool skip_special) const {
  std::string bytes;
  bool first = true;
  for (const int id : ids) {
    if (!impl_->parts.vocab.has(id))
      check(false, "decode: the id ", id, " names no token; those of this vocabulary are below ",
            vocab_size());
    impl_->append(id, skip_special, first, bytes);
  }
  return valid_utf8(bytes) ? bytes : sanitize_utf8(bytes);
}

int Tokenizer::vocab_size() const { return impl_->parts.vocab.size(); }

std::optional<int> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->id_of(token);
}

std::optional<std::string> Tokenizer::id_to_token(int id) const {
  if (!impl_->parts.vocab.has(id)) return std::nullopt;
  return impl_->parts.vocab.text(id);
}

bool Tokenizer::is_special(int id) const { return impl_->special(id); }

std::span<const int> Tokenizer::special_ids() const { return impl_->parts.special; }

const TokenizerConfig& Tokenizer::config() const { return impl_->config; }

std::optional<int> Tokenizer::bos_id() const { return impl_->id_of(impl_->config.bos_token); }

std::optional<int> Tokenizer::eos_id() const { return impl_->id_of(impl_->config.eos_token); }

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

std::string StreamDecoder::push(int id) {
  tokenizer_.impl_->append(id, skip_special_, first_, pending_);
  // Only a character that may still become whole is held back, at most three bytes.
  size_t certain = 0;
  while (certain < pending_.size()) {
    const Utf8Step step = utf8_step(std::string_view(pending_).substr(certain));
    if (step.kind == Utf8Step::Kind::cut) break;
    certain += step.length;
  }
  std::string text = sanitize_utf8(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text = sanitize_utf8(pending_);
  pending_.clear();
  first_ = true;
  return text;
}

}  // namespace hearth::llm
