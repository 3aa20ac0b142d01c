// Package engine runs simulators and writes down what they did: one run (Recorder), and many in parallel
// (Executor: Local for models in this process, Pool for simulators behind endpoints).
//
// A run of the simulator is a walk in which a stack of layers answers each statement with a value. The
// recorder notes for each answer the density under the model (LogP) and under whatever chose it (LogQ).
// Inference algorithms differ in the layers they stack up (package control) and in what they do with the
// weights. See docs/architecture.md.
package engine
