// Package conf loads sidecars from their definitions in YAML.
//
// A [Document] is one YAML document with its [Origin]. [Load] makes a [Set] of [Sidecar] values in these steps:
//
//  1. Parse and validate each document (parse.go). Kubernetes' own code validates the fields of a pod (package
//     podrules).
//  2. Assign each ref to its owner (ownership.go).
//  3. Merge each document with its bases, and validate the result (inherit.go).
//  4. Encode the elements of valid sidecars as the JSON that a patch needs (encode.go).
//  5. Reject invalid documents. Their last valid version stays in service (fallback.go).
//
// A sidecar with parameters keeps its decoded definition. [Sidecar.Render] substitutes the values for one pod in
// it (package params), and validates and encodes the result as Load does.
//
// Kubernetes also calls an init container with restartPolicy Always a sidecar. Here, a sidecar is our unit of
// injection, and the other is a "native sidecar".
//
// The YAML files in this directory are the samples, see [Samples].
//
// This package does not watch files, serve requests or process pods.
package conf
