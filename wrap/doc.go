// Package wrap makes a PPX simulator of a program that nobody edits. The program is started with hooks in place of its random number functions (adapters/hijack), which draw
// as docs/random.md says, or ask; what it drew comes here through memory that both share, is noted as statements, and what it wrote becomes outputs. A file says what the
// parameters, the names and the outputs are (docs/unmodified-programs.md).
package wrap
