// Package torture runs the real binary against hostile clients, hostile documents, faulty API
// servers and rough operators. It has tests only, behind the build tag torture: run them with
// make torture.
//
// In each scenario an honest client sends reviews as the API server does, and every one of its
// reviews must be answered correctly. The process may take 512 MiB, the limit of the chart, and
// must stay below 300 MiB whatever one host sends. Latencies are printed, not asserted.
//
// Code that needs a real API server belongs in e2e. Code that needs no process belongs beside
// what it tests.
package torture
