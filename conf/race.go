//go:build race

package conf

// slowdown is how many times slower code is with the race detector.
const slowdown = 10
