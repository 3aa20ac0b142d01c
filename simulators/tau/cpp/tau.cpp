// A tau lepton of unknown momentum decays, and its products shower in a calorimeter. What was the momentum, and how did
// it decay, given the calorimeter's image? README.md has the formulas and their sources.
//
//   tau [--small] ENDPOINT      20 × 35 × 35 voxels, or 8 × 12 × 12
//
// Energies and momenta are in GeV, lengths in cm.
#include <ppx/ppx.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

const double pi = std::acos(-1.0);

// ---- Particles

enum class Type { electron, muon, photon, pion, kaon, neutral_pion, neutral_kaon, neutrino };

double mass(Type t) {
  switch (t) {
    case Type::electron: return 0.000511;
    case Type::muon: return 0.10566;
    case Type::pion: return 0.13957;
    case Type::kaon: return 0.49368;
    case Type::neutral_pion: return 0.13498;
    case Type::neutral_kaon: return 0.49761;
    case Type::photon:
    case Type::neutrino: return 0;
  }
  return 0;
}

const double tau_mass = 1.77686;

// A channel's products come in the order of the phase space below: the last one is split off first. That one is the neutrino, so
// that the first two angles are those of everything visible; of the leptonic channels the lepton.
struct Channel {
  double branching;  // per cent
  std::vector<Type> products;
  double largest = 0;  // weight in the phase space
};

// ---- Kinematics

struct Momentum {
  double e, x, y, z;
};

// The momentum p, given in a frame that moves with parent, as seen from outside; the axes stay parallel.
Momentum boosted(const Momentum& p, const Momentum& parent) {
  double m = std::sqrt(std::max(1e-12, parent.e * parent.e - parent.x * parent.x - parent.y * parent.y - parent.z * parent.z));
  double along = (parent.x * p.x + parent.y * p.y + parent.z * p.z) / m;
  double k = along / (parent.e + m) + p.e / m;
  return {(parent.e * p.e) / m + along, p.x + k * parent.x, p.y + k * parent.y, p.z + k * parent.z};
}

// The momentum of the products of a decay of mass m into a and b, in its rest frame.
double split_momentum(double m, double a, double b) {
  double s = (m * m - (a + b) * (a + b)) * (m * m - (a - b) * (a - b));
  return s <= 0 ? 0 : std::sqrt(s) / (2 * m);
}

// An isotropic decay into masses a and b.
[[gnu::noinline]] std::array<Momentum, 2> split_in_two(const Momentum& parent, double m, double a, double b) {
  double p = split_momentum(m, a, b);
  double cosine = ppx::sample(ppx::Uniform(-1, 1));
  double phi = ppx::sample(ppx::Uniform(-pi, pi));
  double sine = std::sqrt(1 - cosine * cosine);
  Momentum one{std::sqrt(p * p + a * a), p * sine * std::cos(phi), p * sine * std::sin(phi), p * cosine};
  Momentum two{std::sqrt(p * p + b * b), -one.x, -one.y, -one.z};
  return {boosted(one, parent), boosted(two, parent)};
}

// The masses of the clusters of the first 1, 2, …, n products for n − 2 numbers in rising order, and their weight: the product of
// all momenta.
double clusters(const std::vector<Type>& products, const std::vector<double>& r, std::vector<double>& m) {
  const std::size_t n = products.size();
  double total = 0;
  for (Type t : products) total += mass(t);
  double sum = mass(products[0]), weight = 1;
  m[0] = sum;
  for (std::size_t k = 1; k < n; k++) {
    sum += mass(products[k]);
    m[k] = sum + (k + 1 < n ? r[k - 1] : 1.0) * (tau_mass - total);
    weight *= split_momentum(m[k], m[k - 1], mass(products[k]));
  }
  return weight;
}

// The largest weight there is, and a little more: by a search, one number after the other.
double largest_weight(const std::vector<Type>& products) {
  const std::size_t n = products.size();
  std::vector<double> r(n - 2), m(n);
  for (std::size_t i = 0; i < r.size(); i++) r[i] = (i + 1.0) / static_cast<double>(n - 1);
  double best = clusters(products, r, m);
  for (int pass = 0; pass < 50; pass++)
    for (std::size_t i = 0; i < r.size(); i++) {
      double low = i > 0 ? r[i - 1] : 0, high = i + 1 < r.size() ? r[i + 1] : 1, at = r[i];
      for (int k = 1; k < 200; k++) {
        r[i] = low + (high - low) * k / 200;
        double w = clusters(products, r, m);
        if (w > best) {
          best = w;
          at = r[i];
        }
      }
      r[i] = at;
    }
  return 1.02 * best;
}

const std::vector<Channel>& channels() {
  using T = Type;
  static const std::vector<Channel> all = [] {
    std::vector<Channel> list = {
        {17.82, {T::neutrino, T::neutrino, T::electron}},
        {17.39, {T::neutrino, T::neutrino, T::muon}},
        {10.82, {T::pion, T::neutrino}},
        {25.49, {T::pion, T::neutral_pion, T::neutrino}},
        {9.26, {T::pion, T::neutral_pion, T::neutral_pion, T::neutrino}},
        {9.02, {T::pion, T::pion, T::pion, T::neutrino}},
        {4.49, {T::pion, T::pion, T::pion, T::neutral_pion, T::neutrino}},
        {1.04, {T::pion, T::neutral_pion, T::neutral_pion, T::neutral_pion, T::neutrino}},
        {0.838, {T::pion, T::neutral_kaon, T::neutrino}},
        {0.696, {T::kaon, T::neutrino}},
        {0.433, {T::kaon, T::neutral_pion, T::neutrino}},
        {0.0822, {T::pion, T::pion, T::pion, T::pion, T::pion, T::neutrino}},
    };
    for (Channel& c : list) c.largest = largest_weight(c.products);
    return list;
  }();
  return all;
}

// Masses of the clusters, uniformly in the phase space: by rejection. The data say next to nothing about passes that were
// rejected, and proposals there would only spoil the weights: no control.
[[gnu::noinline]] std::vector<double> cluster_masses(const std::vector<Type>& products, double largest) {
  std::vector<double> m(products.size()), r(products.size() - 2);
  for (;;) {
    for (double& x : r) x = ppx::sample(ppx::Uniform(0, 1), {}, ppx::Site().no_control());
    std::sort(r.begin(), r.end());
    double weight = clusters(products, r, m);
    if (r.empty() || ppx::sample(ppx::Uniform(0, 1), {}, ppx::Site().no_control()) * largest < weight) return m;
  }
}

struct Product {
  Type type;
  Momentum p;
};

[[gnu::noinline]] std::vector<Product> decay(const Momentum& tau, const Channel& channel) {
  const std::vector<Type>& products = channel.products;
  std::vector<double> m = cluster_masses(products, channel.largest);
  std::vector<Product> out;
  Momentum cluster = tau;
  for (std::size_t k = products.size() - 1; k > 0; k--) {
    auto [rest, one] = split_in_two(cluster, m[k], m[k - 1], mass(products[k]));
    out.push_back({products[k], one});
    cluster = rest;
  }
  out.push_back({products[0], cluster});
  return out;
}

// ---- The calorimeter

struct Grid {
  int layers, cells;  // cells × cells in each layer
};

const double distance = 40;  // from the decay to the front
const double depth = 160, width = 60;
const double radiation_length = 2.5, interaction_length = 20;  // of the calorimeter's material
const double critical_energy = 0.01;

class Calorimeter {
 public:
  explicit Calorimeter(Grid g) : grid_(g), energy_(static_cast<std::size_t>(g.layers) * g.cells * g.cells, 0.0), x_(g.cells), y_(g.cells) {}

  // Adds a part of a shower: energy in a gamma profile along the depth from start on, of the given shape and scale, and spread normally
  // around the particle's line, by so many cells: neighbouring cells share their light.
  void deposit(const Momentum& p, double energy, double start, double shape, double scale, double cells) {
    if (!(p.z > 0)) return;
    const double spread = cells * width / grid_.cells;
    const double step = depth / grid_.layers;
    const int parts = 8;
    const double norm = std::lgamma(shape);
    for (int layer = 0; layer < grid_.layers; layer++) {
      double fraction = 0;
      for (int i = 0; i < parts; i++) {
        double t = (layer * step + (i + 0.5) * step / parts - start) / scale;
        if (t > 0) fraction += std::exp((shape - 1) * std::log(t) - t - norm) * step / (parts * scale);
      }
      if (fraction < 1e-9) continue;
      double z = distance + (layer + 0.5) * step;
      overlaps(p.x / p.z * z, spread, x_);
      overlaps(p.y / p.z * z, spread, y_);
      double* cell = &energy_[static_cast<std::size_t>(layer) * grid_.cells * grid_.cells];
      for (double y : y_)
        for (double x : x_) *cell++ += energy * fraction * y * x;
    }
  }

  ppx::Tensor image() const { return {energy_, {grid_.layers, grid_.cells, grid_.cells}}; }

  double total() const {
    double sum = 0;
    for (double e : energy_) sum += e;
    return sum;
  }

 private:
  Grid grid_;
  std::vector<double> energy_, x_, y_;

  // How much of a normal distribution lies in each cell.
  void overlaps(double center, double spread, std::vector<double>& out) const {
    double before = std::erf((-width / 2 - center) / (spread * std::sqrt(2.0)));
    for (int i = 0; i < grid_.cells; i++) {
      double edge = -width / 2 + (i + 1) * width / grid_.cells;
      double after = std::erf((edge - center) / (spread * std::sqrt(2.0)));
      out[static_cast<std::size_t>(i)] = (after - before) / 2;
      before = after;
    }
  }
};

const double em_spread = 1.8, hadron_spread = 3.2, muon_spread = 1.2;  // cells

// An electromagnetic shower begins at once (electron) or after the photon's conversion, and is at its largest after ln(E/Ec) ∓ ½
// radiation lengths, with fluctuations.
void em_shower(Calorimeter& c, const Momentum& p, double start, double shift, double fluctuation) {
  double most = std::max(0.5, (std::log(std::max(p.e, 2 * critical_energy) / critical_energy) + shift) * fluctuation);
  const double b = 0.5;
  c.deposit(p, p.e, start * radiation_length, 1 + b * most, radiation_length / b, em_spread);
}

[[gnu::noinline]] void electron(Calorimeter& c, const Momentum& p) {
  double fluctuation = ppx::sample(ppx::LogNormal(0, 0.15));
  em_shower(c, p, 0, -0.5, fluctuation);
}

[[gnu::noinline]] void photon(Calorimeter& c, const Momentum& p) {
  double start = ppx::sample(ppx::Exponential(7.0 / 9));
  double fluctuation = ppx::sample(ppx::LogNormal(0, 0.15));
  em_shower(c, p, start, 0.5, fluctuation);
}

// A hadron interacts after some depth; a part of its energy goes into an electromagnetic shower, of the rest only 70 % is seen.
[[gnu::noinline]] void hadron(Calorimeter& c, const Momentum& p) {
  double start = ppx::sample(ppx::Exponential(1)) * interaction_length;
  double em = ppx::sample(ppx::Beta(4, 5));
  double log_e = std::log(std::max(p.e, 1.0));
  double shape = 0.62 + 0.32 * log_e;
  c.deposit(p, p.e * em, start, shape, radiation_length / 0.22, em_spread);
  c.deposit(p, p.e * (1 - em) * 0.7, start, shape, interaction_length / (0.91 - 0.02 * log_e), hadron_spread);
}

// A muon goes through, and leaves some energy all along.
[[gnu::noinline]] void muon(Calorimeter& c, const Momentum& p) {
  double lost = ppx::sample(ppx::Gamma(16, 8));
  for (int i = 0; i < 16; i++) c.deposit(p, lost / 16, (i - 0.5) * depth / 16, 16, depth / 256, muon_spread);
}

[[gnu::noinline]] void shower(Calorimeter& c, const Product& q) {
  switch (q.type) {
    case Type::electron: electron(c, q.p); break;
    case Type::photon: photon(c, q.p); break;
    case Type::muon: muon(c, q.p); break;
    case Type::neutrino: break;
    case Type::neutral_pion:
      for (const Momentum& p : split_in_two(q.p, mass(q.type), 0, 0)) photon(c, p);
      break;
    default: hadron(c, q.p);
  }
}

// One per cent of the mean total energy in the calorimeter, which is 20 GeV.
const double noise = 0.2;

[[gnu::noinline]] ppx::Tensor tau(Grid grid) {
  double px = ppx::sample(ppx::Uniform(-3, 3), "px");
  double py = ppx::sample(ppx::Uniform(-3, 3), "py");
  double pz = ppx::sample(ppx::Uniform(43, 48), "pz");
  std::vector<double> branching;
  for (const Channel& c : channels()) branching.push_back(c.branching);
  auto channel = static_cast<std::size_t>(ppx::sample(ppx::Categorical(branching), "channel"));
  Calorimeter calorimeter(grid);
  Momentum p{std::sqrt(px * px + py * py + pz * pz + tau_mass * tau_mass), px, py, pz};
  double visible = 0;
  for (const Product& q : decay(p, channels()[channel])) {
    if (q.type != Type::neutrino) visible += q.p.e;
    shower(calorimeter, q);
  }
  ppx::tag(visible, "visible_energy");
  ppx::tag(calorimeter.total(), "deposited_energy");
  ppx::observe(ppx::Normal(calorimeter.image(), noise), "calorimeter");
  return ppx::Tensor(std::vector<double>{px, py, pz});
}

int main(int argc, char** argv) {
  Grid grid{20, 35};
  if (argc > 1 && std::strcmp(argv[1], "--small") == 0) {
    grid = {8, 12};
    argv[1] = argv[0];
    argc--;
    argv++;
  }
  return ppx::main("tau", [grid] { return tau(grid); }, argc, argv);
}
