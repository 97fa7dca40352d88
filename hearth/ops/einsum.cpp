#include "hearth/ops/einsum.h"

#include <algorithm>
#include <limits>
#include <map>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"

namespace hearth {

namespace {

// The names of axes: letters; the axes of an ellipsis are -1, -2, ... from its end.
using Names = std::vector<int>;
using Sizes = std::map<int, int>;
using Path = std::vector<std::vector<int>>;

bool has(const Names& names, int name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct Expression {
  std::vector<Names> in;
  Names out;
  Sizes sizes;  // as the operands broadcast
};

// One operand's letters, or the result's: kEllipsis for "...".
constexpr int kEllipsis = 0;
Names letters(std::string_view text, std::string_view all) {
  Names names;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (c == '.') {
      check(text.substr(i, 3) == "..." && !has(names, kEllipsis), "einsum: '", text, "' of '", all,
            "': an ellipsis is three points, once");
      names.push_back(kEllipsis);
      i += 2;
      continue;
    }
    check((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), "einsum: '", std::string(1, c),
          "' in '", all, "' is no letter");
    names.push_back(c);
  }
  return names;
}
Names with_axes(const Names& names, int ellipsis) {
  Names out;
  for (int name : names)
    if (name != kEllipsis)
      out.push_back(name);
    else
      for (int i = -ellipsis; i < 0; ++i) out.push_back(i);
  return out;
}

Expression parse(const std::string& subscripts, const Arrays& operands) {
  check(!operands.empty(), "einsum: no operands");
  const std::string_view all = subscripts;
  const size_t arrow = all.find("->");
  check(arrow == all.npos || all.find("->", arrow + 2) == all.npos, "einsum: '", all,
        "' has more than one ->");
  Expression e;
  int most = 0;  // axes of an ellipsis
  std::string_view rest = all.substr(0, arrow);
  for (size_t k = 0;; ++k) {
    const size_t comma = rest.find(',');
    check(k < operands.size(), "einsum: '", all, "' names more than ", operands.size(),
          " operands");
    const Names names = letters(rest.substr(0, comma), all);
    const int named = int(names.size()) - has(names, kEllipsis), axes = operands[k].ndim();
    check(has(names, kEllipsis) ? named <= axes : named == axes, "einsum: '", rest.substr(0, comma),
          "' of '", all, "' names ", named, " axes of an operand of shape ", operands[k].shape());
    most = std::max(most, has(names, kEllipsis) ? axes - named : 0);
    e.in.push_back(with_axes(names, axes - named));
    if (comma == rest.npos) break;
    rest.remove_prefix(comma + 1);
  }
  check(e.in.size() == operands.size(), "einsum: '", all, "' names ", e.in.size(),
        " operands, got ", operands.size());

  std::map<int, int> times;
  for (size_t k = 0; k < operands.size(); ++k)
    for (size_t i = 0; i < e.in[k].size(); ++i) {
      const int name = e.in[k][i], n = operands[k].shape()[i];
      ++times[name];
      int& size = e.sizes.try_emplace(name, n).first->second;
      if (size == 1) size = n;
      check(n == size || n == 1, "einsum: an axis of '", all, "' has ", size, " elements and ", n);
    }
  if (arrow != all.npos) {
    e.out = with_axes(letters(all.substr(arrow + 2), all), most);
    for (size_t i = 0; i < e.out.size(); ++i) {
      check(times.contains(e.out[i]), "einsum: the result of '", all,
            "' has an axis that no operand has");
      check(!has({e.out.begin(), e.out.begin() + long(i)}, e.out[i]), "einsum: the result of '",
            all, "' has an axis twice");
    }
  } else {  // letters that occur once; ellipses are negative, and come first
    for (auto [name, count] : times)
      if (name < 0 || count == 1) e.out.push_back(name);
  }
  return e;
}

double volume(const Names& names, const Sizes& sizes) {
  double n = 1;
  for (int name : names) n *= sizes.at(name);
  return n;
}
Names joined_names(Names a, const Names& b) {
  for (int name : b)
    if (!has(a, name)) a.push_back(name);
  return a;
}
// Those that the result or another operand still needs.
Names needed(const Names& names, const Names& out, const std::vector<Names>& others) {
  Names kept;
  for (int name : names) {
    bool keep = has(out, name);
    for (const Names& other : others) keep = keep || has(other, name);
    if (keep && !has(kept, name)) kept.push_back(name);
  }
  return kept;
}

// The best order by the best orders of all subsets.
Path best_path(const Expression& e) {
  const size_t n = e.in.size(), all = (size_t{1} << n) - 1;
  std::vector<Names> names(all + 1);
  std::vector<double> cost(all + 1, std::numeric_limits<double>::infinity());
  std::vector<size_t> left(all + 1, 0);
  for (size_t set = 1; set <= all; ++set) {
    Names inside;
    std::vector<Names> outside;
    for (size_t k = 0; k < n; ++k)
      if (set >> k & 1)
        inside = joined_names(inside, e.in[k]);
      else
        outside.push_back(e.in[k]);
    const bool single = (set & (set - 1)) == 0;
    names[set] = single ? inside : needed(inside, e.out, outside);
    if (single) cost[set] = 0;
  }
  for (size_t set = 1; set <= all; ++set) {
    const size_t lowest = set & (~set + 1);
    for (size_t a = (set - 1) & set; a > 0; a = (a - 1) & set) {
      if (!(a & lowest)) continue;  // each pair once
      const size_t b = set ^ a;
      const double c = cost[a] + cost[b] + volume(joined_names(names[a], names[b]), e.sizes);
      if (c < cost[set]) cost[set] = c, left[set] = a;
    }
  }
  // The tree as steps, innermost first.
  Path path;
  std::vector<size_t> list;
  for (size_t k = 0; k < n; ++k) list.push_back(size_t{1} << k);
  const std::function<void(size_t)> contract = [&](size_t set) {
    if ((set & (set - 1)) == 0) return;
    contract(left[set]);
    contract(set ^ left[set]);
    std::vector<int> step;
    for (size_t part : {left[set], set ^ left[set]})
      step.push_back(int(std::find(list.begin(), list.end(), part) - list.begin()));
    std::sort(step.begin(), step.end());
    list.erase(list.begin() + step[1]);
    list.erase(list.begin() + step[0]);
    list.push_back(set);
    path.push_back(step);
  };
  contract(all);
  return path;
}

Path greedy_path(const Expression& e) {
  Path path;
  std::vector<Names> list = e.in;
  while (list.size() > 1) {
    double least = std::numeric_limits<double>::infinity();
    std::vector<int> step{0, 1};
    for (size_t i = 0; i < list.size(); ++i)
      for (size_t j = i + 1; j < list.size(); ++j)
        if (const double c = volume(joined_names(list[i], list[j]), e.sizes); c < least)
          least = c, step = {int(i), int(j)};
    const Names both = joined_names(list[size_t(step[0])], list[size_t(step[1])]);
    list.erase(list.begin() + step[1]);
    list.erase(list.begin() + step[0]);
    list.push_back(needed(both, e.out, list));
    path.push_back(step);
  }
  return path;
}

Path path_of(const Expression& e) {
  constexpr size_t kMostTried = 10;  // 3^10 pairs of subsets
  if (e.in.size() == 1) return {{0}};
  return e.in.size() <= kMostTried ? best_path(e) : greedy_path(e);
}

struct Factor {
  array a;
  Names names;
};

// Diagonals taken, and axes of size 1 that broadcast away.
Factor simplified(array a, Names names, const Sizes& sizes) {
  for (size_t i = 0; i < names.size(); ++i)
    for (size_t j = i + 1; j < names.size(); ++j)
      if (names[i] == names[j]) {
        const Shape& shape = a.shape();
        if (shape[i] != shape[j]) {  // one of them is 1
          const size_t one = shape[i] == 1 ? i : j;
          a = squeeze(a, int(one));
          names.erase(names.begin() + long(one));
        } else {
          a = diagonal(a, 0, int(i), int(j));
          const int name = names[i];
          names.erase(names.begin() + long(j));
          names.erase(names.begin() + long(i));
          names.push_back(name);
        }
        return simplified(a, names, sizes);
      }
  for (size_t i = names.size(); i-- > 0;)
    if (a.shape()[i] == 1 && sizes.at(names[i]) != 1) {
      a = squeeze(a, int(i));
      names.erase(names.begin() + long(i));
    }
  return {a, names};
}
// Summed over what is not needed.
Factor sum_out(Factor x, const Names& kept) {
  std::vector<int> axes;
  Names names;
  for (size_t i = 0; i < x.names.size(); ++i)
    if (has(kept, x.names[i]))
      names.push_back(x.names[i]);
    else
      axes.push_back(int(i));
  if (axes.empty()) return x;
  return {astype(sum(x.a, axes), x.a.dtype()), names};
}
array ordered(const Factor& x, const Names& names) {
  std::vector<int> order;
  for (int name : names)
    order.push_back(int(std::find(x.names.begin(), x.names.end(), name) - x.names.begin()));
  return transpose(x.a, order);
}

Factor contracted(const Factor& a, const Factor& b, const Names& kept, const Sizes& sizes) {
  const Factor x = sum_out(a, joined_names(kept, b.names)),
               y = sum_out(b, joined_names(kept, a.names));
  Names batch, rows, columns, inner;
  for (int name : x.names)
    (!has(y.names, name) ? rows : has(kept, name) ? batch : inner).push_back(name);
  for (int name : y.names)
    if (!has(x.names, name)) columns.push_back(name);
  const auto sizes_of = [&](const Names& names) {
    Shape shape;
    for (int name : names) shape.push_back(sizes.at(name));
    return shape;
  };
  const auto count = [&](const Names& names) {
    return axis_size(int64_t(element_count(sizes_of(names))), "einsum");
  };
  const auto joined_list = [](Names first, const Names& second, const Names& third = {}) {
    first.insert(first.end(), second.begin(), second.end());
    first.insert(first.end(), third.begin(), third.end());
    return first;
  };
  const Names out = joined_list(batch, rows, columns);
  const int n = count(batch), m = count(rows), k = count(inner), r = count(columns);
  const array left = reshape(ordered(x, joined_list(batch, rows, inner)), {n, m, k});
  const array right = reshape(ordered(y, joined_list(batch, inner, columns)), {n, k, r});
  array product = left;
  if (!inner.empty() && is_inexact(left.dtype())) {
    product = matmul(left, right);
  } else {
    product = multiply(expand_dims(left, 3), expand_dims(right, 1));  // (n, m, k, r)
    product = inner.empty() ? squeeze(product, 2) : astype(sum(product, 2), left.dtype());
  }
  return {reshape(product, sizes_of(out)), out};
}

std::string path_text(const Path& path, const Expression& e) {
  double naive = 1, best = 0;
  for (auto [name, size] : e.sizes) naive *= size;
  naive *= double(std::max<size_t>(1, e.in.size() - 1));
  std::vector<Names> list = e.in;
  for (const auto& step : path) {
    Names both;
    for (auto it = step.rbegin(); it != step.rend(); ++it) {
      both = joined_names(both, list[size_t(*it)]);
      list.erase(list.begin() + *it);
    }
    best += volume(both, e.sizes);
    list.push_back(needed(both, e.out, list));
  }
  return concat("multiplications in the order given: ", naive,
                "\nmultiplications in this order: ", best, "\n");
}

}  // namespace

std::pair<std::vector<std::vector<int>>, std::string> einsum_path(const std::string& subscripts,
                                                                  const Arrays& operands) {
  const Expression e = parse(subscripts, operands);
  Path path = path_of(e);
  std::string text = path_text(path, e);
  return {std::move(path), std::move(text)};
}

array einsum(const std::string& subscripts, const Arrays& operands, StreamOrDevice s) {
  StreamScope scope(s);
  const Expression e = parse(subscripts, operands);
  Dtype dtype = operands[0].dtype();
  for (const array& a : operands) dtype = promote_types(dtype, a.dtype());
  std::vector<Factor> list;
  for (size_t k = 0; k < operands.size(); ++k)
    list.push_back(simplified(astype(operands[k], dtype), e.in[k], e.sizes));
  if (list.size() > 1)
    for (const auto& step : path_of(e)) {
      const Factor a = list[size_t(step[0])], b = list[size_t(step[1])];
      list.erase(list.begin() + step[1]);
      list.erase(list.begin() + step[0]);
      std::vector<Names> others;
      for (const Factor& o : list) others.push_back(o.names);
      const Names kept = needed(joined_names(a.names, b.names), e.out, others);
      list.push_back(contracted(a, b, kept, e.sizes));
    }
  return ordered(sum_out(list[0], e.out), e.out);
}

}  // namespace hearth
