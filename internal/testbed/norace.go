//go:build !race

package testbed

// Raced tells that the race detector is on, which makes everything several times slower.
const Raced = false
