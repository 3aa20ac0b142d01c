// A simulator that makes the statements of a transcript, line by line, and checks the answers:
//   ppx_replay TRANSCRIPT ENDPOINT
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "ppx/ppx.hpp"

namespace {

struct Line {
  bool engine = false, note = false;
  std::string type, kind;
  std::map<std::string, std::string> fields;
};

std::string unescape(const std::string& s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); i++) {
    if (s[i] == '%' && i + 2 < s.size()) {
      out += static_cast<char>(std::stoi(s.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      out += s[i];
    }
  }
  return out;
}

ppx::Tensor tensor(const std::string& s) {
  if (s[0] != '[') return std::strtod(s.c_str(), nullptr);
  auto close = s.find(']');
  std::vector<double> data;
  std::stringstream list(s.substr(1, close - 1));
  for (std::string x; std::getline(list, x, ',');) data.push_back(std::strtod(x.c_str(), nullptr));
  if (close + 1 == s.size()) return data;
  std::vector<std::int32_t> shape;
  std::stringstream dims(s.substr(close + 2));
  for (std::string x; std::getline(dims, x, 'x');) shape.push_back(std::stoi(x));
  return {data, shape};
}

ppx::Parameter parameter(const std::string& s) {
  if (s[0] != '[') return std::strtod(s.c_str(), nullptr);
  return tensor(s);
}

std::vector<Line> load(const char* path) {
  std::vector<Line> lines;
  std::ifstream in(path);
  for (std::string text; std::getline(in, text);) {
    std::stringstream words(text);
    std::string who, word;
    if (!(words >> who) || who[0] == '#') continue;
    Line l;
    l.engine = who == "engine";
    l.note = who == "note";
    words >> l.type;
    while (words >> word) {
      auto eq = word.find('=');
      if (eq == std::string::npos) l.kind = word;
      else l.fields[word.substr(0, eq)] = word.substr(eq + 1);
    }
    lines.push_back(l);
  }
  return lines;
}

ppx::Distribution distribution(const Line& l) {
  static const std::map<std::string, std::pair<ppx::Kind, std::vector<std::string>>> kinds = {
      {"Normal", {ppx::Kind::normal, {"mean", "stddev"}}},
      {"Uniform", {ppx::Kind::uniform, {"low", "high"}}},
      {"Categorical", {ppx::Kind::categorical, {"probs"}}},
      {"Poisson", {ppx::Kind::poisson, {"rate"}}},
      {"Bernoulli", {ppx::Kind::bernoulli, {"probs"}}},
      {"Beta", {ppx::Kind::beta, {"concentration1", "concentration0"}}},
      {"Exponential", {ppx::Kind::exponential, {"rate"}}},
      {"Gamma", {ppx::Kind::gamma, {"concentration", "rate"}}},
      {"LogNormal", {ppx::Kind::log_normal, {"loc", "scale"}}},
      {"Binomial", {ppx::Kind::binomial, {"total_count", "probs"}}},
      {"Weibull", {ppx::Kind::weibull, {"scale", "concentration"}}},
      {"TruncatedNormal", {ppx::Kind::truncated_normal, {"loc", "scale", "low", "high"}}},
      {"HalfNormal", {ppx::Kind::half_normal, {"scale"}}},
      {"StudentT", {ppx::Kind::student_t, {"df", "loc", "scale"}}},
      {"Cauchy", {ppx::Kind::cauchy, {"loc", "scale"}}},
      {"Laplace", {ppx::Kind::laplace, {"loc", "scale"}}},
      {"Logistic", {ppx::Kind::logistic, {"loc", "scale"}}},
      {"Pareto", {ppx::Kind::pareto, {"scale", "alpha"}}},
      {"InverseGamma", {ppx::Kind::inverse_gamma, {"concentration", "rate"}}},
      {"VonMises", {ppx::Kind::von_mises, {"loc", "concentration"}}},
      {"LogUniform", {ppx::Kind::log_uniform, {"low", "high"}}},
      {"NegativeBinomial2", {ppx::Kind::negative_binomial, {"mean", "concentration"}}},
      {"Geometric", {ppx::Kind::geometric, {"probs"}}},
      {"DiscreteUniform", {ppx::Kind::discrete_uniform, {"low", "high"}}},
      {"ZeroInflatedPoisson", {ppx::Kind::zero_inflated_poisson, {"gate", "rate"}}},
      {"ZeroInflatedNegativeBinomial2", {ppx::Kind::zero_inflated_negative_binomial, {"gate", "mean", "concentration"}}},
      {"BetaBinomial", {ppx::Kind::beta_binomial, {"concentration1", "concentration0", "total_count"}}},
      {"Dirichlet", {ppx::Kind::dirichlet, {"concentration"}}},
      {"MultivariateNormal", {ppx::Kind::multivariate_normal, {"loc", "scale_tril"}}},
      {"MultivariateStudentT", {ppx::Kind::multivariate_student_t, {"df", "loc", "scale_tril"}}},
      {"Multinomial", {ppx::Kind::multinomial, {"total_count", "probs"}}},
      {"Mixture", {ppx::Kind::mixture, {"families", "probs", "parameters"}}},
      {"DiscreteMixture", {ppx::Kind::discrete_mixture, {"families", "probs", "parameters"}}},
      {"Empirical", {ppx::Kind::empirical, {"values", "weights"}}},
      {"Histogram", {ppx::Kind::histogram, {"edges", "weights"}}},
      {"Factor", {ppx::Kind::factor, {"log_weight"}}},
  };
  const auto& [kind, names] = kinds.at(l.kind);
  std::vector<ppx::Parameter> p;
  for (auto& n : names) p.push_back(parameter(l.fields.at(n)));
  if (p.size() == 1) return {kind, p[0]};
  if (p.size() == 2) return {kind, p[0], p[1]};
  if (p.size() == 3) return {kind, p[0], p[1], p[2]};
  return {kind, p[0], p[1], p[2], p[3]};
}

// Whether a Sample was answered as the transcript has it. Values that the client draws itself need only agree
// to 12 digits.
bool as_wanted(std::vector<Line>& lines, std::size_t at, const ppx::Distribution& d, const ppx::Tensor& got) {
  if (!lines[at].note) {
    while (lines[at].type != "SampleResult") at++;
    auto want = tensor(lines[at].fields["result"]);
    return got.data == want.data && got.shape == want.shape;
  }
  auto want = tensor(lines[at].fields["value"]);
  double scale = 0;
  if (d.kind == ppx::Kind::normal || d.kind == ppx::Kind::uniform || d.kind == ppx::Kind::multivariate_normal) {
    for (auto* p : {&d.a, &d.b}) {
      scale = std::max(scale, std::abs(p->number));
      for (double x : p->tensor.data) scale = std::max(scale, std::abs(x));
    }
  }
  bool ok = got.shape == want.shape;
  for (std::size_t i = 0; ok && i < want.size(); i++) ok = std::abs(got[i] - want[i]) <= 1e-12 * std::max(std::abs(want[i]), scale);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto lines = load(argv[1]);
  std::string name;
  for (auto& l : lines)
    if (l.type == "HandshakeResult") name = unescape(l.fields["model_name"]);
  std::size_t at = 0;
  bool ended = false;  // the last run came to its end: the next one of the same Run message follows at once
  auto model = [&]() -> ppx::Tensor {
    while (at < lines.size() && !(ended && lines[at].note) && (lines[at].note || lines[at].type != "Run")) at++;
    if (!lines.at(at).note) at++;
    ended = false;
    for (; at < lines.size(); at++) {
      auto& l = lines[at];
      if (l.engine || l.type == "Statements") continue;
      if (l.type == "Reset") {
        if (l.fields["reason"] == "failed") throw std::runtime_error("the model failed as it should");
        continue;
      }
      if (l.type == "RunResult") {
        ended = true;
        return tensor(lines[at++].fields["result"]);
      }
      ppx::Site site;
      std::string address = unescape(l.fields["address"]), label = unescape(l.fields["name"]);
      site.address(address);
      if (l.type == "Sample") {
        if (l.fields["control"] == "false") site.no_control();
        auto d = distribution(l);
        auto got = ppx::sample_tensor(d, label, site);
        if (!as_wanted(lines, at, d, got)) throw ppx::Error("the client handed over another value for " + address);
      } else if (l.type == "Observe") {
        if (l.fields.count("value")) ppx::observe_value(distribution(l), tensor(l.fields["value"]), label, site);
        else ppx::observe(distribution(l), label, site);
      } else {
        ppx::tag(tensor(l.fields["value"]), label, site);
      }
    }
    throw ppx::Error("no RunResult in the transcript");
  };
  try {
    ppx::serve(argv[2], name, model);
  } catch (const std::exception& e) {
    std::cerr << "replay: " << e.what() << "\n";
    return 1;
  }
}
