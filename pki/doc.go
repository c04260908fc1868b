// Package pki issues and rotates the certificates of the webhook. It stores them in a Secret that all replicas
// share, and writes the caBundle of the webhook configurations.
//
// Every replica runs a [Controller], and there is no leader. A write succeeds only if the Secret still has the
// resourceVersion that was read. A replica whose write fails reads the Secret again and finds the work done.
//
// plan.go has the pure function from the state of the Secret and the time to the next state. state.go decodes and
// encodes the Secret, and issue.go issues certificates. reconcile.go executes the plan: secret.go writes the
// Secret, and cabundle.go the webhook configurations.
//
// # Rotation without downtime
//
// API servers use a new caBundle after a delay, and replicas a new certificate. So the Secret passes through these
// states. In each, every API server trusts the certificate of every replica:
//
//	                     trusted (ca.crt)   tls.crt signed by
//	initially            old CA             old CA
//	new CA               new CA, old CA     old CA, until all configurations have had both CAs for a minute
//	new certificate      new CA, old CA     new CA, until every replica serves the new certificate
//	finally              new CA             new CA
//
// Sidecars, pods and certificate files do not belong here.
package pki
