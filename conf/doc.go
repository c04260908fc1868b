// Package conf is the sidecar format: how bytes become sidecars.
//
// A [Document] is one piece of YAML with its [Origin]. [Load] parses documents, resolves what they
// inherit, validates them with Kubernetes' own code (package podrules), and encodes valid ones into a
// [Set] of [Sidecar] values, which hold every element as the JSON that a patch needs. An invalid
// document becomes a [Rejection]; the last valid version of it stays in service.
//
// A sidecar with parameters keeps its decoded definition. [Sidecar.Render] substitutes the values for
// one pod in it (package params), and validates and encodes the result as Load does.
//
// Kubernetes calls an init container with restartPolicy Always a sidecar too. Here a
// sidecar is our unit of injection, and the other is a "native sidecar".
//
// The YAML files beside the code are the sample sidecars, see [Samples].
//
// Nothing here watches, serves or looks at pods.
package conf
