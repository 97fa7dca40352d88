#include "hearth/cli/divergence.h"

#include <fmt/format.h>

namespace hearth::cli {

std::string divergence_text(const llm::Divergence& d) {
  std::string text;
  text += fmt::format("perplexity     {:.4f} +- {:.4f}, the base's {:.4f} +- {:.4f}\n",
                      d.model.value, d.model.standard_error, d.base.value, d.base.standard_error);
  text += fmt::format("ln of both     {:.6f} +- {:.6f}\n", d.log_ratio, d.log_ratio_error);
  text +=
      fmt::format("KL divergence  {:.6f} +- {:.6f} nats a token, median {:.6f}, at most {:.4f}\n",
                  d.mean, d.error, d.median, d.most);
  text += fmt::format("same top token {:.3f} +- {:.3f} % of {}\n", 100 * d.same, 100 * d.same_error,
                      d.model.tokens);
  return text;
}

nlohmann::json divergence_json(const llm::Divergence& d) {
  return {{"perplexity", d.model.value},      {"standard_error", d.model.standard_error},
          {"base_perplexity", d.base.value},  {"base_standard_error", d.base.standard_error},
          {"log_ratio", d.log_ratio},         {"log_ratio_error", d.log_ratio_error},
          {"kl_divergence_nats", d.mean},     {"kl_divergence_error", d.error},
          {"kl_divergence_median", d.median}, {"kl_divergence_max", d.most},
          {"same_top_token", d.same},         {"same_top_token_error", d.same_error},
          {"tokens", d.model.tokens}};
}

}  // namespace hearth::cli
