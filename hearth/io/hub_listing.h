// What files a model on the Hub has, and which of them running it needs.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hearth/io/hub_client.h"

namespace hearth {

struct HubFile {
  std::string name;               // "1_Pooling/config.json": a path that stays below its folder
  std::optional<uint64_t> bytes;  // nothing, or "", where the listing does not say
  std::string hash;               // is_hash(): SHA-256, or a Git blob's SHA-1
};

struct HubListing {
  std::string commit;  // as a rule 40 digits; safe as a folder's name
  std::vector<HubFile> files;
};

/// Asks the Hub. Throws std::runtime_error where the model is not to be had, or the listing is none
/// to trust: a name that leaves the folder, a hash that is none.
HubListing list_hub_model(HubClient& client, const std::string& id, const std::string& revision);

/// The address of a file of that commit.
std::string hub_file_url(const HubClient& client, const std::string& id, const std::string& commit,
                         const std::string& file);

/// Size and hash of a file, asked for one by one where the listing does not say.
void complete(HubClient& client, const std::string& id, const std::string& commit, HubFile& file);

/// Of the files that no pattern in `exclude` matches: with patterns in `include` those that match
/// one of them; without, what a model needs: its weights once (safetensors rather than PyTorch's),
/// configurations, tokenizer, templates. Patterns are Python's fnmatch, as huggingface_hub has
/// them: "*" matches slashes too, and "onnx/" means "onnx/*". Throws where nothing is left.
std::vector<HubFile> choose_files(const std::vector<HubFile>& files,
                                  const std::vector<std::string>& include,
                                  const std::vector<std::string>& exclude);
/// Those of the GGUF model of that type; throws, with a list of what there is, where there is none.
std::vector<HubFile> choose_gguf(const std::vector<HubFile>& files, std::string_view type,
                                 std::string_view who);

}  // namespace hearth
