#include "hearth/io/hub_listing.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/file_hash.h"
#include "hearth/io/gguf.h"
#include "hearth/io/hub.h"
#include "hearth/io/json.h"

namespace hearth {

namespace {

using nlohmann::json;

constexpr size_t kMostFiles = 200'000;
constexpr uint64_t kMostBytes = uint64_t(1) << 50;  // of one file

/// Why the name of a file is none to write by; "" for a good one.
std::string fault_of_name(std::string_view name) {
  if (name.empty() || name.size() > 1000) return "is empty or too long";
  for (const char c : name)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f || c == '\\')
      return "has a character that no file of a model has";
  while (true) {
    const auto slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return "leads out of the model's folder";
    if (part.size() > 255) return "is too long";
    if (slash == name.npos) return "";
    name.remove_prefix(slash + 1);
  }
}

const json* field(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (const json* value = field(object, key); value && value->is_string())
      return value->get<std::string>();
  return "";
}

/// An entry of a listing: of the model's own page ("rfilename", "blobId"), or of its tree ("path",
/// "oid"). What a file of Git LFS is stands under "lfs".
HubFile read_entry(const std::string& what, const json& entry, const char* name_key) {
  HubFile file;
  file.name = text_of(entry, {name_key});
  const std::string fault = fault_of_name(file.name);
  ensure(fault.empty(), what, ": its listing is not to be trusted: the name ", in_quotes(file.name),
         " ", fault, ". Nothing was fetched");
  const json* lfs = field(entry, "lfs");
  const json& of = lfs && lfs->is_object() ? *lfs : entry;
  const json* size = field(of, "size") ? field(of, "size") : field(entry, "size");
  if (size) {
    ensure(size->is_number_unsigned() && size->get<uint64_t>() <= kMostBytes, what,
           ": its listing is not to be trusted: ", in_quotes(file.name), " has a size of ",
           in_quotes(size->dump()), ". Nothing was fetched");
    file.bytes = size->get<uint64_t>();
  }
  file.hash = lfs ? text_of(of, {"sha256", "oid"}) : text_of(entry, {"blobId", "oid"});
  ensure(file.hash.empty() || is_hash(file.hash), what,
         ": its listing is not to be trusted: the hash of ", in_quotes(file.name), " is ",
         in_quotes(file.hash), ". Nothing was fetched");
  return file;
}

/// Names once each, and none that is the folder of another.
void check_names(const std::string& what, std::vector<HubFile>& files) {
  ensure(files.size() <= kMostFiles, what, ": its listing has ", files.size(), " files");
  // A slash sorts before all else here, so that a folder comes right before what is in it.
  const auto key = [](const HubFile& file) {
    std::string text = file.name;
    std::replace(text.begin(), text.end(), '/', '\1');
    return text;
  };
  std::sort(files.begin(), files.end(),
            [&](const HubFile& a, const HubFile& b) { return key(a) < key(b); });
  for (size_t i = 1; i < files.size(); ++i) {
    const std::string &before = files[i - 1].name, &name = files[i].name;
    ensure(name != before && !name.starts_with(before + "/"), what,
           ": its listing is not to be trusted: it has both ", in_quotes(before), " and ",
           in_quotes(name), ". Nothing was fetched");
  }
}

/// The next page, as the header Link names it: <URL>; rel="next".
std::string next_page(const std::string& url, const HttpAnswer& answer) {
  const std::string link = answer.header("link");
  const auto rel = link.find("rel=\"next\"");
  const auto end = rel == link.npos ? link.npos : link.rfind('>', rel);
  const auto begin = end == link.npos ? link.npos : link.rfind('<', end);
  if (begin == link.npos) return "";
  const std::string next = resolve_url(url, link.substr(begin + 1, end - begin - 1));
  ensure(origin_of(next) == origin_of(url), url, ": its next page is elsewhere, ", in_quotes(next));
  return next;
}

/// The files by the tree of the commit, page by page; false where the server has none.
bool list_tree(HubClient& client, const std::string& what, const std::string& id,
               HubListing& listing) {
  std::string url = concat(client.endpoint(), "/api/models/", url_escape(id, "/"), "/tree/",
                           listing.commit, "?recursive=true");
  std::vector<HubFile> files;
  for (bool first = true; !url.empty(); first = false) {
    const auto page = client.read(what, url, false, first);
    if (page.answer.status == 404) return false;
    const json entries = parse_json(page.body, concat(what, ": its tree"));
    ensure(entries.is_array(), what, ": its tree is not a list");
    for (const json& entry : entries)
      if (text_of(entry, {"type"}) != "directory") files.push_back(read_entry(what, entry, "path"));
    ensure(files.size() <= kMostFiles, what, ": its tree has more than ", kMostFiles, " files");
    url = next_page(url, page.answer);
    ensure(url.empty() || !entries.empty(), what, ": its tree has an empty page");
  }
  listing.files = std::move(files);
  return true;
}

bool matches(const std::string& name, std::string pattern) {
  if (pattern.ends_with('/')) pattern += '*';
  return ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}
template <class Patterns>
bool matches_any(const std::string& name, const Patterns& patterns) {
  return std::any_of(std::begin(patterns), std::end(patterns),
                     [&](const auto& pattern) { return matches(name, pattern); });
}

/// Weights in the order in which they are preferred. The first whose `sign` is there is taken, with
/// all that `files` matches.
struct Weights {
  const char *sign, *files;
};
constexpr Weights kWeights[] = {
    {"model.safetensors", "model.safetensors"},
    {"model.safetensors.index.json", "model-*-of-*.safetensors"},
    {"*.safetensors", "*.safetensors"},
    {"pytorch_model.bin", "pytorch_model.bin"},
    {"pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"},
    {"*.gguf", "*.gguf"},
};
/// Beside the weights, at the top: configurations, tokenizers, templates.
constexpr const char* kBeside[] = {"*.json",    "*.jinja",    "*.model", "*.tiktoken",
                                   "vocab.txt", "merges.txt", "LICENSE*"};
constexpr const char* kNotBeside[] = {"*.index.json", "trainer_state.json", "adapter_*"};
/// Below it: sentence-transformers' modules ("1_Pooling/config.json"), further templates.
constexpr const char* kBelow[] = {"[0-9]_*/*.json", "[0-9]_*/model.safetensors",
                                  "[0-9]_*/vocab.txt", "additional_chat_templates/*.jinja"};

std::vector<HubFile> needed(const std::vector<HubFile>& files) {
  const auto top = [](const HubFile& file) { return file.name.find('/') == std::string::npos; };
  const auto taken = std::find_if(std::begin(kWeights), std::end(kWeights), [&](const Weights& w) {
    return std::any_of(files.begin(), files.end(), [&](const HubFile& file) {
      return top(file) && matches(file.name, w.sign);
    });
  });
  std::vector<HubFile> chosen, weights;
  for (const HubFile& file : files) {
    const bool weight = taken != std::end(kWeights) && top(file) &&
                        (file.name == taken->sign || matches(file.name, taken->files));
    const bool beside = top(file)
                            ? matches_any(file.name, kBeside) && !matches_any(file.name, kNotBeside)
                            : matches_any(file.name, kBelow);
    if (weight) weights.push_back(file);
    if (weight || beside) chosen.push_back(file);
  }
  if (taken != std::end(kWeights) && matches("x.gguf", taken->files) && weights.size() > 1) {
    std::vector<std::string> names;
    for (const HubFile& file : weights) names.push_back(file.name);
    ensure(false, "the model has its weights ", names.size(),
           " times, packed in different ways: ", listed(names, ", ", 8), ". Choose one: --include ",
           in_quotes(names[0]));
  }
  return chosen;
}

}  // namespace

HubListing list_hub_model(HubClient& client, const std::string& id, const std::string& revision) {
  const std::string what = revision == "main" ? id : concat(id, "@", revision);
  const auto page = client.read(what, concat(client.endpoint(), "/api/models/", url_escape(id, "/"),
                                             "/revision/", url_escape(revision), "?blobs=true"));
  const json model = parse_json(page.body, concat(what, ": its listing"));
  HubListing listing;
  listing.commit = text_of(model, {"sha"});
  ensure(is_hub_name(listing.commit) && listing.commit.find('/') == std::string::npos, what,
         ": its listing is not to be trusted: the commit is ", in_quotes(listing.commit));
  const json* files = field(model, "siblings");
  ensure(files && files->is_array(), what, ": its listing has no files (siblings)");
  for (const json& entry : *files) listing.files.push_back(read_entry(what, entry, "rfilename"));
  const bool whole =
      !listing.files.empty() &&
      std::all_of(listing.files.begin(), listing.files.end(),
                  [](const HubFile& file) { return file.bytes && !file.hash.empty(); });
  if (!whole) list_tree(client, what, id, listing);
  check_names(what, listing.files);
  return listing;
}

std::string hub_file_url(const HubClient& client, const std::string& id, const std::string& commit,
                         const std::string& file) {
  return concat(client.endpoint(), "/", url_escape(id, "/"), "/resolve/", commit, "/",
                url_escape(file, "/"));
}

void complete(HubClient& client, const std::string& id, const std::string& commit, HubFile& file) {
  if (file.bytes && !file.hash.empty()) return;
  const std::string what = concat(id, ": ", file.name);
  const HttpAnswer answer =
      client.read(what, hub_file_url(client, id, commit, file.name), true).answer;
  const auto first_of = [&](const char* linked, const char* own) {
    const std::string value = answer.header(linked);
    return value.empty() ? answer.header(own) : value;
  };
  std::string tag = first_of("x-linked-etag", "etag");
  if (tag.starts_with("W/")) tag.erase(0, 2);
  if (tag.size() >= 2 && tag.front() == '"' && tag.back() == '"')
    tag = tag.substr(1, tag.size() - 2);
  ensure(is_hash(tag), what, ": the server names no hash of it (ETag ", in_quotes(tag),
         "), so it could not be checked");
  const std::string length = first_of("x-linked-size", "content-length");
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
  ensure(error == std::errc() && end == length.data() + length.size() && bytes <= kMostBytes, what,
         ": the server names no size of it (", in_quotes(length), ")");
  file.hash = tag;
  file.bytes = bytes;
}

std::vector<HubFile> choose_files(const std::vector<HubFile>& files,
                                  const std::vector<std::string>& include,
                                  const std::vector<std::string>& exclude) {
  std::vector<HubFile> chosen;
  for (const HubFile& file : files)
    if (!matches_any(file.name, exclude) && (include.empty() || matches_any(file.name, include)))
      chosen.push_back(file);
  if (include.empty()) chosen = needed(chosen);
  std::vector<std::string> names;
  for (const HubFile& file : files) names.push_back(file.name);
  ensure(!chosen.empty(), "none of the model's files is wanted: ",
         names.empty() ? "it has none" : listed(names, ", ", 10));
  return chosen;
}

std::vector<HubFile> choose_gguf(const std::vector<HubFile>& files, std::string_view type,
                                 std::string_view who) {
  std::vector<std::string> names;
  for (const HubFile& file : files) names.push_back(file.name);
  const auto wanted = gguf_files_of_type(names, type, who);
  std::vector<HubFile> chosen;
  for (const HubFile& file : files)
    if (std::find(wanted.begin(), wanted.end(), file.name) != wanted.end()) chosen.push_back(file);
  return chosen;
}

}  // namespace hearth
