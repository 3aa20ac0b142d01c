//go:build race

package train

// raced: the race detector makes training five times as slow, and what a network is worth has been judged without it.
const raced = true
