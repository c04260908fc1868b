// Package watcher is the write half: it reloads definitions, the serving certificate and the defaults of namespaces
// when they change.
//
// [Directory] and [ConfigMaps] are each a [Source]: it provides documents and reports when they change. The
// [Reloader] reads all sources in one goroutine, loads their documents with package conf, and passes the
// set to a [Publisher]. [CertWatcher] reloads the serving certificate, and [Expiry] warns before it
// expires. [Namespaces] caches one annotation of all namespaces for reviews.
//
// Events carry no payload. After any event, everything is read again: a lost or duplicate event costs
// time, never correctness. A slow poll catches changes on file systems without events.
//
// This package does not parse YAML, inspect pods, serve requests or export metrics.
package watcher
