// _samplers.cpp: the samplers of random.hpp for tensors: those families that take an unknown number of uniform numbers are drawn in Python number by number, at some
// microseconds each. Without this module the client works all the same.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "random.hpp"

namespace {

// Buffers of doubles, each of n numbers or of one.
class Buffers {
 public:
  Buffers(PyObject* const* args, Py_ssize_t count, Py_ssize_t n, bool first_is_output) {
    for (; used_ < count; used_++) {
      bool output = first_is_output && used_ == 0;
      if (PyObject_GetBuffer(args[used_], &buffers_[used_], output ? PyBUF_CONTIG : PyBUF_CONTIG_RO) != 0) return;
      Py_ssize_t size = buffers_[used_].len / static_cast<Py_ssize_t>(sizeof(double));
      if (size != n && (output || size != 1)) {
        PyErr_SetString(PyExc_ValueError, "a buffer of another length");
        used_++;
        return;
      }
      step_[used_] = size == n ? 1 : 0;
    }
    ok = true;
  }
  ~Buffers() {
    for (int i = 0; i < used_; i++) PyBuffer_Release(&buffers_[i]);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  double* out() const { return static_cast<double*>(buffers_[0].buf); }
  double operator()(int k, Py_ssize_t i) const { return k < used_ ? static_cast<const double*>(buffers_[k].buf)[i * step_[k]] : 0; }

  bool ok = false;

 private:
  Py_buffer buffers_[5];
  Py_ssize_t step_[5] = {};
  int used_ = 0;
};

bool words_of(PyObject* const* args, int n, unsigned long long* words) {
  for (int i = 0; i < n; i++) {
    words[i] = PyLong_AsUnsignedLongLong(args[i]);
    if (PyErr_Occurred()) return false;
  }
  return true;
}

// draw(kind, seed, stream, statement, draw, n, out, *parameters): out and parameters are buffers of doubles; a parameter has n numbers or one. All must be valid.
PyObject* draw(PyObject*, PyObject* const* args, Py_ssize_t count) {
  unsigned long long w[6];
  if (count < 7 || count > 11) return PyErr_Format(PyExc_TypeError, "draw(kind, seed, stream, statement, draw, n, out, *parameters)");
  if (!words_of(args, 6, w)) return nullptr;
  auto n = static_cast<Py_ssize_t>(w[5]);
  Buffers b(args + 6, count - 6, n, true);
  if (!b.ok) return nullptr;
  Py_BEGIN_ALLOW_THREADS;
  ppx::rng::Stream s(w[1], w[2], w[3], w[4], ppx::rng::for_value);
  for (Py_ssize_t i = 0; i < n; i++) b.out()[i] = ppx::rng::draw(s, static_cast<ppx::Kind>(w[0]), b(1, i), b(2, i), b(3, i), b(4, i));
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// valid(kind, n, *parameters): whether n elements have valid parameters.
PyObject* valid(PyObject*, PyObject* const* args, Py_ssize_t count) {
  unsigned long long w[2];
  if (count < 3 || count > 6) return PyErr_Format(PyExc_TypeError, "valid(kind, n, *parameters)");
  if (!words_of(args, 2, w)) return nullptr;
  auto n = static_cast<Py_ssize_t>(w[1]);
  Buffers b(args + 2, count - 2, n, false);
  if (!b.ok) return nullptr;
  for (Py_ssize_t i = 0; i < n; i++) {
    if (!ppx::rng::valid(static_cast<ppx::Kind>(w[0]), b(0, i), b(1, i), b(2, i), b(3, i))) Py_RETURN_FALSE;
  }
  Py_RETURN_TRUE;
}

PyMethodDef methods[] = {
    {"draw", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(draw)), METH_FASTCALL, "Draws a tensor's elements, one after the other from one stream."},
    {"valid", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(valid)), METH_FASTCALL, "Whether a tensor's elements have valid parameters."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_samplers", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__samplers() { return PyModule_Create(&module); }
