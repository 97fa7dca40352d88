#include "hearth/llm/rewrite.h"

#include <algorithm>
#include <map>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

using fast::Matrices, fast::Matrix;

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

struct Match {
  size_t begin, end;
  std::string number;
};

/// Where `pattern` matches at `at`, if it does.
std::optional<Match> match_at(std::string_view pattern, std::string_view name, size_t at) {
  Match m{at, at, {}};
  for (const char p : pattern) {
    if (p == '$') {
      if (m.end != name.size()) return {};
    } else if (p == '*') {
      const size_t first = m.end;
      while (m.end < name.size() && digit(name[m.end])) ++m.end;
      if (m.end == first) return {};
      m.number = std::string(name.substr(first, m.end - first));
    } else if (m.end < name.size() && name[m.end] == p) {
      ++m.end;
    } else {
      return {};
    }
  }
  return m;
}
std::optional<Match> find(std::string_view pattern, std::string_view name) {
  if (pattern.starts_with('^')) return match_at(pattern.substr(1), name, 0);
  for (size_t at = 0; at <= name.size(); ++at)
    if (auto m = match_at(pattern, name, at)) return m;
  return {};
}

std::string replaced(const std::string& name, const Match& m, std::string to) {
  if (const size_t star = to.find('*'); star != to.npos) to.replace(star, 1, m.number);
  return name.substr(0, m.begin) + to + name.substr(m.end);
}

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> parts{""};
  for (const char c : list) c == ',' ? (void)parts.emplace_back() : parts.back().push_back(c);
  return parts;
}

/// Whole rows lie along all axes but the last.
void ensure_rows(const std::string& name, const Matrix& x, int axis, std::string_view done) {
  ensure(!x.packed() || axis + 1 < x.ndim(), name, ": is packed (", to_string(x.packing()),
         ") along axis ", axis, ", along which it would have to be ", done,
         "; dequantize it before");
}
const array& dense(const std::string& name, const Matrix& x, std::string_view done) {
  ensure(!x.packed(), name, ": is packed (", to_string(x.packing()), "), but would have to be ",
         done, "; dequantize it before");
  return x.dense();
}
/// f of the first planes of all, of their second ones, and so on.
template <class F>
Matrix joined_planes(const std::vector<Matrix>& all, const F& f) {
  Arrays planes;
  for (size_t i = 0; i < all[0].planes().size(); ++i) {
    Arrays each;
    for (const Matrix& m : all) each.push_back(m.planes()[i]);
    planes.push_back(f(each));
  }
  return {all[0].packing(), planes, all[0].dtype()};
}

/// Rows [first, first + count) of each of the groups that axis `axis` of x is.
array rows_of_groups(const array& x, int axis, int groups, int first, int count) {
  Shape grouped(x.shape().begin(), x.shape().begin() + axis);
  grouped.push_back(groups), grouped.push_back(x.shape(axis) / groups);
  grouped.insert(grouped.end(), x.shape().begin() + axis + 1, x.shape().end());
  Shape start(grouped.size(), 0), stop = grouped, shape = x.shape();
  start[size_t(axis) + 1] = first, stop[size_t(axis) + 1] = first + count;
  shape[size_t(axis)] = groups * count;
  const array part = reshape(slice(reshape(x, grouped), start, stop), shape);
  return groups > 1 ? contiguous(part) : part;
}

/// The rows of x to each part of the rule.
std::vector<Matrix> split_rows(const std::string& name, const Matrix& x, const Rewrite& rule,
                               size_t parts) {
  const int rows = x.ndim() > rule.axis ? x.shape(rule.axis) : 0, groups = rule.groups;
  const int each = groups > 0 && rows % groups == 0 ? rows / groups : 0;
  std::vector<int> wanted = rule.rows;
  if (wanted.empty() && each % int(parts) == 0) wanted.assign(parts, each / int(parts));
  int64_t sum = 0;
  for (const int n : wanted) sum += n;
  ensure(wanted.size() == parts && sum == each && each > 0, name, ": its shape is ", x.shape(),
         ", of which axis ", rule.axis, " does not split into ", groups, " x (",
         Shape(wanted.begin(), wanted.end()), ") rows, as config.json says");
  ensure_rows(name, x, rule.axis, "split");
  std::vector<Matrix> out;
  int first = 0;
  for (const int n : wanted) {
    out.push_back(map_planes(
        x, [&](const array& plane) { return rows_of_groups(plane, rule.axis, groups, first, n); }));
    first += n;
  }
  return out;
}

/// What a rule makes of one tensor; stacks are gathered.
class Applied {
 public:
  Applied(const Rewrite& rule, bool values) : rule_(rule), values_(values) {}

  void take(const std::string& name, const Matrix& x) {
    const auto m = find(rule_.from, name);
    if (!m) return put(name, x);
    const std::string to = replaced(name, *m, rule_.to);
    switch (rule_.operation) {
      case Rewrite::skip: return;
      case Rewrite::rename: return put(to, x);
      case Rewrite::split: {
        const std::vector<std::string> parts = parts_of(rule_.to);
        const std::vector<Matrix> rows = split_rows(name, x, rule_, parts.size());
        for (size_t i = 0; i < parts.size(); ++i) {
          std::vector<Matrix> same;
          for (size_t k = 0; k < parts.size(); ++k)
            if (parts[k] == parts[i]) same.push_back(rows[k]);
          if (std::find(parts.begin(), parts.begin() + long(i), parts[i]) !=
              parts.begin() + long(i))
            continue;
          put(replaced(name, *m, parts[i]),
              same.size() > 1
                  ? joined_planes(same,
                                  [&](const Arrays& each) { return concatenate(each, rule_.axis); })
                  : same[0]);
        }
        return;
      }
      case Rewrite::transpose:
        ensure(x.ndim() >= 2, name, ": its shape is ", x.shape(), ", wanted 2 axes or more");
        return put(to, contiguous(swapaxes(dense(name, x, "transposed"), -1, -2)));
      case Rewrite::unpack: return put(to, fast::dequantize(x));
      case Rewrite::flatten: return put(to, flatten(dense(name, x, "flattened")));
      case Rewrite::grouped: {
        const int rows = x.ndim() > 0 ? x.shape(0) : 0;
        ensure(rows > 0 && rows % rule_.groups == 0, name, ": its shape is ", x.shape(),
               ", of which the first axis is not ", rule_.groups, " groups");
        ensure_rows(name, x, 0, "grouped");
        return put(to, map_planes(x, [&](const array& plane) {
                     Shape shape{rule_.groups, rows / rule_.groups};
                     shape.insert(shape.end(), plane.shape().begin() + 1, plane.shape().end());
                     return reshape(plane, shape);
                   }));
      }
      case Rewrite::plus_one: {
        const array& w = dense(name, x, "changed");
        return put(to, values_ ? add(astype(w, float32), array(1.0f)) : w);
      }
      case Rewrite::stack: {
        ensure(m->number.size() <= 6, name, ": the number is too large");
        auto& all = stacks_[to];
        ensure(all.emplace(std::stoi(m->number), x).second, name, ": is there twice");
        return;
      }
    }
  }
  Matrices finish() {
    for (const auto& [name, all] : stacks_) {
      std::vector<Matrix> in_order;
      const Matrix& first = all.begin()->second;
      for (const auto& [number, x] : all) {
        ensure(size_t(number) == in_order.size(), name, ": part ", in_order.size(), " is missing");
        ensure(x.shape() == first.shape() && x.dtype() == first.dtype(), name, ": its parts are ",
               first.shape(), " and ", x.shape());
        ensure(x.packing() == first.packing(), name,
               ": its parts are packed differently: ", to_string(first.packing()), " and ",
               to_string(x.packing()));
        in_order.push_back(x);
      }
      put(name, joined_planes(in_order, [](const Arrays& each) { return stack(each, 0); }));
    }
    return std::move(out_);
  }

 private:
  void put(const std::string& name, const Matrix& x) {
    ensure(out_.emplace(name, x).second, name, ": is there twice, under two names");
  }

  const Rewrite& rule_;
  const bool values_;
  Matrices out_;
  std::map<std::string, std::map<int, Matrix>> stacks_;
};

}  // namespace

Matrices rewrite(Matrices tensors, std::span<const Rewrite> rules, bool values) {
  for (const Rewrite& rule : rules) {
    Applied applied(rule, values);
    for (const auto& [name, x] : tensors) applied.take(name, x);
    tensors = applied.finish();
  }
  return tensors;
}

namespace {

/// Where `to`, of the rule, stands in a parameter's name, held as `from` is held in the key.
std::optional<Match> find_after(const Rewrite& rule, const std::string& to,
                                const std::string& parameter) {
  if (to.empty()) return {};
  return find((rule.from.starts_with('^') ? "^" : "") + to + (rule.from.ends_with('$') ? "$" : ""),
              parameter);
}
std::string key_of(const Rewrite& rule, const Match& m, const std::string& parameter) {
  std::string from = rule.from;
  if (from.starts_with('^')) from.erase(0, 1);
  if (from.ends_with('$')) from.pop_back();
  return replaced(parameter, m, from);
}

/// What a split took apart; `part(i)` is the tensor that the i-th name has now.
template <class Part>
array joined(const Rewrite& rule, const std::vector<std::string>& names, const Part& part) {
  const size_t axis = size_t(rule.axis);
  const auto first = [&](size_t i) {
    return size_t(std::find(names.begin(), names.end(), names[i]) - names.begin());
  };
  int total = 0;
  for (size_t i = 0; i < names.size(); ++i)
    if (first(i) == i) total += part(i).shape(rule.axis);
  std::vector<int> taken(names.size(), 0);
  Arrays all;
  for (size_t i = 0; i < names.size(); ++i) {
    const int rows = rule.rows.empty() ? total / rule.groups / int(names.size()) : rule.rows[i];
    const array whole = part(i);
    Shape from(size_t(whole.ndim()), 0), to = whole.shape();
    from[axis] = taken[first(i)], to[axis] = taken[first(i)] += rows * rule.groups;
    Shape grouped(to.begin(), to.begin() + rule.axis);
    grouped.push_back(rule.groups), grouped.push_back(rows);
    grouped.insert(grouped.end(), to.begin() + rule.axis + 1, to.end());
    all.push_back(reshape(slice(whole, from, to), grouped));
  }
  Shape shape = part(0).shape();
  shape[axis] = total;
  return reshape(concatenate(all, rule.axis + 1), shape);
}

Tensors undone(Tensors tensors, const Rewrite& rule) {
  Tensors out;
  const std::vector<std::string> parts = parts_of(rule.to);
  // What a split made is there whole, or it was not split.
  const auto whole = [&](const Match& m, const std::string& name) {
    return std::ranges::all_of(
        parts, [&](const auto& part) { return tensors.contains(replaced(name, m, part)); });
  };
  for (const auto& [name, x] : tensors) {
    auto m = find_after(rule, parts[0], name);
    if (m && !whole(*m, name)) m.reset();
    switch (m ? rule.operation : Rewrite::skip) {
      case Rewrite::skip: {
        bool later = false;  // another part of a split
        for (size_t i = 1; rule.operation == Rewrite::split && i < parts.size(); ++i)
          if (const auto other = find_after(rule, parts[i], name))
            later = later || whole(*other, name);
        if (!later) out.emplace(name, x);
        break;
      }
      case Rewrite::unpack:
      case Rewrite::rename: out.emplace(key_of(rule, *m, name), x); break;
      case Rewrite::transpose: out.emplace(key_of(rule, *m, name), swapaxes(x, -1, -2)); break;
      case Rewrite::plus_one:
        out.emplace(key_of(rule, *m, name),
                    astype(subtract(astype(x, float32), array(1.0f)), x.dtype()));
        break;
      case Rewrite::split: {
        const auto part = [&, &name = name](size_t i) {
          return tensors.at(replaced(name, *m, parts[i]));
        };
        out.emplace(key_of(rule, *m, name), joined(rule, parts, part));
        break;
      }
      case Rewrite::flatten: out.emplace(key_of(rule, *m, name), x); break;  // its axes are gone
      case Rewrite::grouped: {
        Shape shape(x.shape().begin() + 1, x.shape().end());
        shape[0] *= x.shape(0);
        out.emplace(key_of(rule, *m, name), reshape(x, shape));
        break;
      }
      case Rewrite::stack: {
        const Arrays each = split(x, x.shape(0), 0);
        for (size_t i = 0; i < each.size(); ++i)
          out.emplace(key_of(rule, {m->begin, m->end, std::to_string(i)}, name),
                      squeeze(each[i], 0));
        break;
      }
    }
  }
  return out;
}

}  // namespace

std::string name_before(std::string parameter, std::span<const Rewrite> rules) {
  for (size_t i = rules.size(); i-- > 0;)
    for (const std::string& to : parts_of(rules[i].to))
      if (const auto m = find_after(rules[i], to, parameter)) {
        parameter = key_of(rules[i], *m, parameter);
        break;
      }
  return parameter;
}

Tensors rewrite_back(Tensors parameters, std::span<const Rewrite> rules) {
  for (size_t i = rules.size(); i-- > 0;) {
    // A split of what one before it split already never came to anything.
    const bool idle = rules[i].operation == Rewrite::split &&
                      std::ranges::any_of(rules.first(i), [&](const Rewrite& before) {
                        return before.operation == Rewrite::split && before.from == rules[i].from;
                      });
    if (!idle) parameters = undone(std::move(parameters), rules[i]);
  }
  return parameters;
}

}  // namespace hearth::llm
