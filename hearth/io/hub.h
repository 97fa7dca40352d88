// Where a model is on this disk: a folder, or a name as on the Hugging Face Hub.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace hearth {

/// The folder of a model, in which config.json stands, or its GGUF file. `name` is one of these, or
/// "owner/model" as on the Hub ("owner/model@revision", and "owner/model:Q4_K_M" for a GGUF file of
/// that type), looked up in the cache of Hugging Face's tools on disk; nothing is fetched. Throws
/// std::runtime_error that says what stands there instead, or where it looked and what to do.
std::filesystem::path find_model(std::string_view name);

/// The cache folder, as huggingface_hub finds it: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else
/// HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
std::filesystem::path hub_cache();

/// What the Hub accepts as a model's name: "model" or "owner/model".
bool is_hub_name(std::string_view name);
/// A branch, a tag, a commit, or a path of Git's such as refs/pr/1. Names no folder above its own.
bool is_hub_revision(std::string_view revision);

/// "owner/model@revision:type" as its parts; "main" where no revision is named.
struct HubName {
  std::string id, revision;
  bool any_revision;      // none was named
  std::string type = "";  // of a GGUF file: "Q4_K_M"; may be empty
};
HubName parse_hub_name(std::string_view name);
/// Whether the name is one as on the Hub that names a type, and nothing of it is in the cache: what
/// `hearth pull` fetches.
bool could_be_pulled(std::string_view name);

/// The folder of a model within hub_cache(): "models--owner--model".
std::string hub_entry(std::string_view id);
/// The model that such a folder is for; "" for another folder.
std::string hub_name_of_entry(std::string_view entry);

/// Where the Hub is: HF_ENDPOINT, else https://huggingface.co; without a slash at its end.
std::string hub_endpoint();
/// HF_TOKEN, else the file that `hf auth login` writes (HF_TOKEN_PATH, HF_HOME/token); "" without
/// one. Throws std::runtime_error where it holds what no header may.
std::string hub_token();

}  // namespace hearth
