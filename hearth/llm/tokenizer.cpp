#include "hearth/llm/tokenizer.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/gguf.h"
#include "hearth/io/json.h"
#include "hearth/llm/tokenizer/parts.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
struct Tokenizer::Impl {
  // What one thread needs to encode. It is kept between calls, for the words it remembers.
  struct Memory {
    Normalizer::Memory normalizer;
    PreTokenizer::Memory pieces;
    Model::Memory model;
    std::vector<AddedTokens::Part> parts, inner;
  };

  TokenizerParts parts;
  TokenizerConfig config;
  std::vector<int> special;  // ids, ascending
  AddedTokens as_given, normalized;
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Memory>> free;  // as many as calls ran at once

  Impl(TokenizerParts from, TokenizerConfig facts)
      : parts(std::move(from)),
        config(std::move(facts)),
        as_given(added(false)),
        normalized(added(true)) {
    for (const AddedToken& token : parts.added)
      if (token.special) special.push_back(token.id);
    std::sort(special.begin(), special.end());
    special.erase(std::unique(special.begin(), special.end()), special.end());
  }

  // Those that are looked for in the text as given, or in the normalised one.
  std::vector<AddedToken> added(bool normalized_ones) {
    std::vector<AddedToken> some;
    Normalizer::Memory memory;
    Regex::Memory regex;
    for (const AddedToken& token : parts.added) {
      if (token.normalized != normalized_ones) continue;
      some.push_back(token);
      if (!normalized_ones || !parts.normalize_added) continue;
      bool at_start = true;
      some.back().content = parts.normalizer.run(token.content, memory, regex, at_start);
      // The decoder undoes what the normalizer did.
      if (some.back().content != token.content) parts.shown.emplace(token.id, some.back().content);
    }
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

  bool is_special(int id) const { return std::binary_search(special.begin(), special.end(), id); }

  // What the decoder sees of a token that there is.
  const std::string& shown(int id) const {
    if (parts.shown.empty()) return parts.vocab.text(id);
    const auto found = parts.shown.find(id);
    return found == parts.shown.end() ? parts.vocab.text(id) : found->second;
  }

  void encode(std::string_view text, const PlainRanges& plain, Memory& memory,
              std::vector<int>& ids) const {
    memory.parts.clear();
    as_given.split(text, plain, memory.parts);
    for (const auto& [part, id] : memory.parts)
      if (id >= 0)
        ids.push_back(id);
      else
        encode_part(text, part, plain, memory, ids);
    memory.pieces.made.clear();
  }

  // A part of `text` in which no token as given is left.
  void encode_part(std::string_view text, std::string_view part, const PlainRanges& plain,
                   Memory& memory, std::vector<int>& ids) const {
    const size_t begin = size_t(part.data() - text.data()), end = begin + part.size();
    const bool guarded = plain.touch(begin, end);
    bool at_start = begin == 0;
    const std::string_view made =
        parts.normalizer.run(part, memory.normalizer, memory.pieces.regex, at_start);
    memory.inner.clear();
    PlainRanges all;
    const size_t edge = plain.next_edge(begin, end);
    if (guarded && edge == end) all.add(0, made.size());
    normalized.split(made, all, memory.inner);
    // Where in the normalised text the pieces meet is not known: if a special token is found in
    // it, each piece is taken for itself.
    if (guarded && edge < end &&
        std::any_of(memory.inner.begin(), memory.inner.end(),
                    [&](const auto& one) { return one.id >= 0 && is_special(one.id); })) {
      for (size_t from = begin, to = edge; from < end; from = to, to = plain.next_edge(to, end))
        encode_part(text, text.substr(from, to - from), plain, memory, ids);
      return;
    }
    const std::span<const int> never = guarded ? special : std::span<const int>();
    const auto encode_piece = [&](std::string_view piece) {
      parts.model.encode(piece, parts.vocab, never, memory.model, ids);
    };
    const PieceSink sink = std::ref(encode_piece);
    for (const auto& [inner, id] : memory.inner)
      if (id >= 0)
        ids.push_back(id);
      else
        parts.pre_tokenizer.run(inner, at_start && inner.data() == made.data(), memory.pieces,
                                sink);
  }

  std::optional<int> id_of(std::string_view token) const {
    const int id = parts.vocab.id(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
};

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

namespace {

// Reads a file of any kind, told apart by how it begins.
TokenizerParts parse(std::string_view text, const std::string& name, TokenizerConfig& config) {
  const size_t first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  const bool is_json = name.ends_with(".json") || (first != text.npos && text[first] == '{');
  if (!is_json)
    return text.starts_with('\n') ? parse_sentencepiece(text, config)
                                  : parse_tiktoken(text, name, config);
  const bool tekken = text.substr(0, 1 << 20).find("\"token_bytes\"") != text.npos;
  return tekken ? parse_tekken(text, config) : parse_tokenizer(text);
}

}  // namespace

std::optional<std::filesystem::path> Tokenizer::file_in(const ModelFiles& files) {
  if (const auto& gguf = files.gguf())
    return has_tokenizer(*gguf) ? std::optional<std::filesystem::path>(gguf->name()) : std::nullopt;
  const std::filesystem::path& folder = files.path();
  std::error_code none;
  for (const char* name : {"tokenizer.json", "tekken.json", "tokenizer.model", "tiktoken.model"})
    if (std::filesystem::is_regular_file(folder / name, none)) return folder / name;
  std::optional<std::filesystem::path> first;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (entry.path().extension() == ".tiktoken" && (!first || entry.path() < *first))
      first = entry.path();
  return first;
}

Tokenizer Tokenizer::load(const ModelFiles& files) {
  if (const auto& gguf = files.gguf()) return of_gguf(*gguf);
  const std::filesystem::path& path = files.path();
  const bool folder = std::filesystem::is_directory(path);
  const auto file = folder ? file_in(files).value_or(path / "tokenizer.json") : path;
  ensure(std::filesystem::is_regular_file(file), "tokenizer: no file ", file.string(),
         ", nor a tekken.json, tokenizer.model or tiktoken file beside it. If the folder has "
         "another form (vocab.json and merges.txt, or vocab.txt), transformers writes this one: "
         "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)");
  return from_json(read_file(file), file.string(), TokenizerConfig::load(file.parent_path()));
}

Tokenizer Tokenizer::of_gguf(const Gguf& file) {
  try {
    TokenizerConfig config;
    TokenizerParts parts = parse_gguf_tokenizer(file, config);
    return Tokenizer(std::make_shared<const Impl>(std::move(parts), std::move(config)));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    const std::string_view what = error.what();
    const bool named = what.starts_with(file.name());
    throw std::runtime_error(concat("tokenizer: ", named ? "" : file.name() + ": ", what));
  }
}

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& name,
                               TokenizerConfig config) {
  try {
    TokenizerParts parts = parse(text, name, config);
    return Tokenizer(std::make_shared<const Impl>(std::move(parts), std::move(config)));
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
  const Piece whole = {text};
  return encode({&whole, 1}, add_special_tokens);
}

std::vector<int> Tokenizer::encode(std::span<const Piece> pieces, bool add_special_tokens) const {
  std::string joined;
  PlainRanges plain;
  std::string_view text;
  for (const Piece& piece : pieces) {
    check(piece.text.size() <= size_t(std::numeric_limits<int>::max()) - joined.size(),
          "tokenizer: a text of ", piece.text.size() + joined.size(),
          " bytes; at most 2147483647 at a time");
    const bool valid = valid_utf8(piece.text);
    const size_t begin = joined.size();
    if (pieces.size() == 1 && valid) {
      text = piece.text;
    } else {
      valid ? joined += piece.text : joined += sanitize_utf8(piece.text);
      text = joined;
    }
    if (!piece.may_be_special) plain.add(begin, text.size());
  }
  const auto& [prefix, suffix] = impl_->parts.surround;
  std::vector<int> ids;
  ids.reserve(text.size() / 4 + prefix.size() + suffix.size());  // English: 4 bytes a token
  if (add_special_tokens) ids = prefix;
  auto memory = impl_->take();  // lost, not given back, where encoding throws: it may be half done
  impl_->encode(text, plain, *memory, ids);
  impl_->give_back(std::move(memory));
  if (add_special_tokens) ids.insert(ids.end(), suffix.begin(), suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int> ids, bool skip_special) const {
  std::string text;
  TokenDecoder::Stream stream(impl_->parts.decoder);
  for (const int id : ids) {
    if (!impl_->parts.vocab.has(id))
      check(false, "decode: the id ", id, " names no token; those of this vocabulary are below ",
            vocab_size());
    if (!skip_special || !impl_->is_special(id)) stream.push(impl_->shown(id), text);
  }
  stream.finish(text);
  return text;
}

int Tokenizer::vocab_size() const { return impl_->parts.vocab.size(); }

std::optional<int> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->id_of(token);
}

std::optional<std::string> Tokenizer::id_to_token(int id) const {
  if (!impl_->parts.vocab.has(id)) return std::nullopt;
  return impl_->parts.vocab.text(id);
}

bool Tokenizer::is_special(int id) const { return impl_->is_special(id); }

std::span<const int> Tokenizer::special_ids() const { return impl_->special; }

const TokenizerConfig& Tokenizer::config() const { return impl_->config; }

std::optional<int> Tokenizer::bos_id() const { return impl_->id_of(impl_->config.bos_token); }

std::optional<int> Tokenizer::eos_id() const { return impl_->id_of(impl_->config.eos_token); }

struct StreamDecoder::Impl {
  TokenDecoder::Stream stream;
};

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      impl_(new Impl{TokenDecoder::Stream(tokenizer_.impl_->parts.decoder)}) {}

StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int id) {
  std::string text;
  const auto& tokenizer = *tokenizer_.impl_;
  if (tokenizer.parts.vocab.has(id) && !(skip_special_ && tokenizer.is_special(id)))
    impl_->stream.push(tokenizer.shown(id), text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  impl_->stream.finish(text);
  return text;
}

}  // namespace hearth::llm
