// Package pki issues and rotates the certificates of the webhook. It stores them in a Secret that all replicas
// share, and writes the caBundle of the webhook configurations.
//
// Every replica runs a [Controller], and there is no leader. A write succeeds only if the Secret has the
// resourceVersion that was read. A replica that is late reads it again and finds the work done.
//
// plan.go is the pure function from the state of the Secret and the time to the next state. state.go decodes and
// encodes the Secret, and issue.go issues certificates. reconcile.go runs the plan: secret.go writes the Secret,
// and cabundle.go the webhook configurations.
//
// # Rotation without downtime
//
// A client accepts a certificate only if it trusts its CA, and an API server uses a new caBundle after a delay. So
// the Secret passes through these states. In each, every API server trusts the certificate of every replica:
//
//	                     trusted (ca.crt)   serving (tls.crt)
//	initially            old                by old
//	new CA               new, old           by old, until all configurations have had the new one for a minute
//	new certificate      new, old           by new, until every replica serves it
//	finally              new                by new
//
// This package does not know sidecars, pods or files.
package pki
