// Where a model is on this disk: a folder, or a name as on the Hugging Face Hub.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace hearth {

/// The folder of a model, in which config.json stands. `name` is a folder, or "owner/model" (or
/// "owner/model@revision") as on the Hub, looked up in the cache of Hugging Face's tools on disk;
/// nothing is fetched. Throws std::runtime_error that says what stands there instead, or where it
/// looked and what to do.
std::filesystem::path find_model(std::string_view name);

/// The cache folder, as huggingface_hub finds it: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else
/// HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
std::filesystem::path hub_cache();

}  // namespace hearth
