// Package watcher is the write half of the daemon: it notices that something changed,
// reads it again, and hands on the result.
//
// A [Source] yields documents and says when to ask again: [Directory] and [ConfigMaps]. The
// [Reloader] is the one goroutine that reads all sources, lets conf.Load make a set of what
// they hold, and gives it to a [Publisher]. [KeyPair] does the same for the serving
// certificate, and [Expiry] warns before a certificate expires, whoever renews it. [Namespaces]
// stands apart: what it knows of them is asked for at each review.
//
// Events carry no payload. Whatever happened, everything is read again, so a lost, doubled
// or misunderstood event costs time and never correctness. A slow poll stands behind the
// events for the file systems that send none.
//
// Nothing here parses YAML, looks at pods, answers a request or knows about metrics.
package watcher
