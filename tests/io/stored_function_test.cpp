// Functions in files: they compute the same when they come back, and no file does harm.
#include "hearth/io/stored_function.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/hearth.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::TempFolder;

bool same(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b, true).item<bool>();
}

TEST(Export, GivesTheSameBitsBack) {
  const TempFolder folder;
  const std::string file = folder / "f.fun";
  const array w = arange(12.0f) / 7, table = array({3, 1, 2});
  const std::function<Arrays(const Arrays&)> f = [&](const Arrays& in) {
    const array& x = in[0];  // (3, 4)
    const array y = matmul(x, reshape(w, {4, 3})) + 0.5f;
    return Arrays{softmax(y, -1),
                  logsumexp(y, -1),
                  cumsum(exp(y), 0, true, false),
                  sort(y, 1),
                  argpartition(y, 1, 0),
                  argmax(y, 0, true),
                  max(slice(y, {0, 0}, {3, 3}, {2, 1}), std::vector<int>{0, 1}),
                  concatenate({transpose(y), ones({1, 3})}, 0),
                  take_along_axis(y, broadcast_to(array({0, 2, 1}), {3, 3}), 1),
                  where(y > 1, y, zeros({3, 3})) * array({1.0f, NAN, -0.0f}),
                  linspace(0, 1, 5),
                  stop_gradient(astype(table, float16)),
                  w};
  };
  const array x = sin(reshape(arange(12.0f), {3, 4}));
  export_function(file, f, {x}, false, "about it");
  const ImportedFunction g = import_function(file);
  EXPECT_EQ(g.metadata(), "about it");
  const Arrays wanted = f({x}), got = g({x});
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same(got[i], wanted[i])) << i;
}

TEST(Export, HasOneSignatureForEachCall) {
  const TempFolder folder;
  const std::string file = folder / "f.fun";
  const std::function<Arrays(const Arrays&, const Kwargs&)> f = [](const Arrays& in,
                                                                   const Kwargs& by) {
    array total = array({1.0f, 2.0f});
    for (const array& x : in) total = total + x;
    return Arrays{by.empty() ? total : total * by.at("scale")};
  };
  {
    auto out = exporter(file, f);
    out({array(1.0f)});
    out({array(1.0f), array(2.0f)});
    out({array(1.0f)}, {{"scale", array(1.0f)}});
  }
  const ImportedFunction g = import_function(file);
  EXPECT_TRUE(same(g({array(5.0f)})[0], array({6.0f, 7.0f})));
  EXPECT_TRUE(same(g({array(5.0f), array(1.0f)})[0], array({7.0f, 8.0f})));
  EXPECT_TRUE(same(g({array(5.0f)}, {{"scale", array(2.0f)}})[0], array({12.0f, 14.0f})));
  for (const Arrays& bad : {Arrays{}, Arrays{array(1)}, Arrays{array({1.0f})}})
    EXPECT_THROW(g(bad), std::invalid_argument);
  EXPECT_THROW(g({array(5.0f)}, {{"size", array(2.0f)}}), std::invalid_argument);
}

TEST(Export, ShapelessTakesAnySizes) {
  const TempFolder folder;
  const std::string file = folder / "f.fun";
  const std::function<Arrays(const Arrays&)> f = [](const Arrays& in) {
    return Arrays{sum(exp(in[0]), -1)};
  };
  export_function(file, f, {ones({2, 3})}, true);
  const ImportedFunction g = import_function(file);
  const array x = reshape(arange(20.0f), {4, 5});
  EXPECT_TRUE(same(g({x})[0], f({x})[0]));
  EXPECT_THROW(g({ones({3})}), std::invalid_argument);
}

TEST(Export, NamesWhatCannotBeWrittenAndWritesNoFile) {
  const TempFolder folder;
  const std::string file = folder / "f.fun";
  const std::function<Arrays(const Arrays&)> f = [](const Arrays& in) {
    return Arrays{conv1d(in[0], in[1])};
  };
  try {
    export_function(file, f, {ones({1, 5, 2}), ones({3, 2, 2})});
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("cannot be written"), std::string::npos) << e.what();
  }
}

// The same of a callback, as a text: joined programs are the operations that they were.
TEST(Export, TellsACallback) {
  std::string told;
  const auto name = [&](const auto& v) { told += " " + std::get<0>(v); };
  const ExportCallback callback = [&](const ExportCallbackInput& said) {
    const auto type = std::get<std::string>(said.at("type"));
    told += type;
    const auto values = [&](const char* key) {
      for (const auto& v :
           std::get<std::vector<std::tuple<std::string, Shape, Dtype>>>(said.at(key))) {
        name(v);
        if (type != "primitive") told += concat(" ", std::get<1>(v), " ", std::get<2>(v));
      }
    };
    if (type == "inputs" || type == "outputs") values(type.c_str());
    if (type == "keyword_inputs")
      for (const auto& [key, value] :
           std::get<std::vector<std::pair<std::string, std::string>>>(said.at("keywords")))
        told += " " + key + " is " + value;
    if (type == "constants")
      for (const auto& [key, value] :
           std::get<std::vector<std::pair<std::string, array>>>(said.at("constants")))
        told += concat(" ", key, " ", value.item<float>());
    if (type == "primitive") {
      told += " " + std::get<std::string>(said.at("name"));
      for (const StateT& one : std::get<std::vector<StateT>>(said.at("arguments")))
        told += " " + std::get<std::string>(one);
      values("inputs");
      told += " ->";
      values("outputs");
    }
    told += "\n";
  };
  const auto f = [](const Arrays& in, const Kwargs& named) {
    return Arrays{sum(exp(in[0] * 2.0f + named.at("b")), 1)};
  };
  export_function(callback, f, {zeros({2, 3})}, {{"b", zeros({3})}});
  EXPECT_EQ(told,
            "inputs A (2, 3) float32 B (3) float32\n"
            "keyword_inputs b is B\n"
            "outputs C (2) float32\n"
            "constants D 2\n"
            "primitive multiply A D -> E\n"
            "primitive add E B -> F\n"
            "primitive exp F -> G\n"
            "primitive sum kind=0, axes=[1], keepdims=false G -> C\n");
}

// Every text below, in place of a good one, is an error that names the file.
TEST(Export, ChangedFilesAreErrors) {
  const TempFolder folder;
  const std::string file = folder / "f.safetensors";
  const std::function<Arrays(const Arrays&)> f = [](const Arrays& in) {
    return Arrays{sum(transpose(exp(in[0] * 3.0f)), 0)};
  };
  export_function(file, f, {ones({2, 3})});
  const auto loaded = load_safetensors(file);
  const Tensors& tensors = loaded.first;
  const std::string good = loaded.second.at("hearth.function");
  const auto with = [&](const std::string& text) {
    save_safetensors(file, tensors, {{"hearth.function", text}});
    return import_function(file);
  };
  EXPECT_EQ(with(good)({ones({2, 3})})[0].shape(), (Shape{2}));
  int changed = 0;
  for (size_t i = 0; i < good.size();
       ++i) {  // each number by one that is far too large, or not there
    if (!std::isdigit(good[i]) || (i > 0 && std::isdigit(good[i - 1]))) continue;
    for (const char* number : {"-1", "99", "2147483647", "99999999999", "null", "\"x\""}) {
      std::string text = good;
      size_t end = i;
      while (std::isdigit(text[end])) ++end;
      text.replace(i, end - i, number);
      try {
        const Arrays y = with(text)({ones({2, 3})});
        if (y[0].size() < 1000) eval(y);
      } catch (const std::runtime_error& e) {
        EXPECT_NE(std::string(e.what()).find("f.safetensors"), std::string::npos) << e.what();
        ++changed;
      } catch (const std::invalid_argument&) {  // a signature of other arguments
      }
    }
  }
  EXPECT_GT(changed, 50);
  for (const char* text : {"", "[]", "{}", "{\"version\":2}", "nonsense"})
    EXPECT_THROW(with(text), std::runtime_error) << text;
  save_safetensors(file, tensors);
  EXPECT_THROW(import_function(file), std::runtime_error);
  EXPECT_THROW(import_function(folder / "none"), std::runtime_error);
}

TEST(Export, AStreamThatIsNotHereIsAnError) {
  const TempFolder folder;
  const std::string file = folder / "f.fun";
  const std::function<Arrays(const Arrays&)> f = [](const Arrays& in) {
    return Arrays{abs(in[0], Stream{1000, Device::cpu})};
  };
  export_function(file, f, {array({-1, 2})});
  EXPECT_THROW(import_function(file), std::runtime_error);
}

// Files of version 1, which fuzzers start from too, stay readable.
TEST(Export, ReadsWhatEarlierVersionsWrote) {
  const auto seed = [](const char* name) {
    return import_function((testing::source_path("tests/fuzz/function_seeds") / name).string());
  };
  const Arrays sums = seed("sums.safetensors")({ones({2, 3})});
  ASSERT_EQ(sums.size(), 2);
  EXPECT_TRUE(allclose(sums[0], full({2}, 3 * (2 * std::exp(1.0) + 1))).item<bool>());
  EXPECT_TRUE(same(sums[1], full({2, 2}, 0.5f)));

  const auto order = seed("order.safetensors");
  EXPECT_EQ(order.metadata(), "two");
  const Arrays of = order({array({{3, 1}, {2, 5}, {1, 4}}, float32)});
  ASSERT_EQ(of.size(), 4);
  EXPECT_TRUE(same(of[0], array({{1, 1}, {2, 4}, {3, 5}, {0, 1}, {2, 3}, {4, 5}}, float32)));
  EXPECT_TRUE(same(of[2], array({0, 1, 1}, uint32)));
}

}  // namespace
}  // namespace hearth
