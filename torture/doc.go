// Package torture runs the real binary against hostile clients, hostile documents, faulty API
// servers and careless operators. It contains only tests, behind the build tag torture: run them with
// make torture.
//
// In each scenario an honest client sends reviews as the API server does, and the injector must
// answer all of them correctly. Its memory must stay below 512 MiB, the limit of the chart, and
// below 300 MiB if all hostile requests come from one host. Latencies are printed, not asserted.
//
// Tests that need a real API server belong in e2e. Tests that need no process belong next to the
// code that they test.
package torture
