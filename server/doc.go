// Package server is the read half: the HTTPS webhooks, the AdmissionReview codec, the lifecycle port
// with the status page, and the metrics.
//
// [Webhook] decodes a review of a pod, decides it with package mutate over the current snapshot, and
// responds with an AdmissionReview of the same version. [Validator] does the same for changes of
// ConfigMaps with definitions, by a dry run of loading them. [Server] runs the two ports and drains
// them. The package does not know where snapshots and certificates come from.
//
// Two limits keep hostile clients from stopping reviews. Each port limits its connections (limitListener). Each
// request enters a lane, which limits the memory of its requests and how many of them compute at once ([Lanes]).
package server
