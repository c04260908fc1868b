// Package pki keeps the certificates of the webhook by itself, in a Secret that all replicas
// share, and the caBundle of the webhook configurations in step with it.
//
// Whichever replica finds that something has to be done does it. There is no leader: a write
// goes through only if the Secret is still as it was read (its resourceVersion), and who comes
// too late reads again and finds it done.
//
// state.go reads and writes the content of the Secret, issue.go makes keys and certificates,
// and plan.go is the pure function from what the Secret holds and the time to what it should
// hold. [Keeper] runs it, in reconcile.go: secret.go and configuration.go are its dealings with
// the API server, which follow.go watches.
//
// # A rotation that nobody notices
//
// A client takes a certificate only if it trusts the CA that signed it, and an API server learns
// of a new CA a moment after it was published. So a new CA goes through three states of the
// Secret, and in each of them every replica's certificate is trusted by every API server:
//
//	                          trusted (ca.crt)   serving (tls.crt)
//	at first                  old                by old
//	a CA is made              new, old           by old, until all configurations trust the new one for a while
//	a certificate is made     new, old           by new, until every replica has taken it up
//	in the end                new                by new
//
// Nothing here knows about sidecars, pods or files.
package pki
