// Package bench measures the real binary, and compares it with other servers that run at the same time. The
// program e2e/cmd/bench prints the tables of docs/performance.md.
//
// A comparison alternates between its contenders in short rounds, so that a busy machine slows all of them. The CPU
// time of a process comes from the kernel, in nanoseconds. Nothing here fails because of a time: a run fails only if
// a process fails or answers incorrectly.
//
// Measurements of a single function belong in benchmarks next to it (make bench). Linux only.
package bench
