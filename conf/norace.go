//go:build !race

package conf

const slowdown = 1
