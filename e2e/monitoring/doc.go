// Package monitoring tests the alerts and the dashboard of the chart with the library of Prometheus. It has no other
// code.
package monitoring
