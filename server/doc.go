// Package server is the half that reads: the HTTPS webhook, the AdmissionReview codec, the
// lifecycle port and the metrics.
//
// A review comes in at [Webhook], is decided by package mutate over the current snapshot, and
// goes out as an AdmissionReview of the version that asked. [Validator] does so with changes of
// the ConfigMaps that hold definitions, by a trial load. [Server] runs the two ports and
// drains them. Nothing here knows where snapshots and certificates come from.
package server
