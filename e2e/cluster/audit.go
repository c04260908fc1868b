package cluster

import (
	"os"
)

// auditPolicy logs the creation of pods, with the annotations of webhooks.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create]
  resources: [{group: "", resources: [pods]}]
- level: None
`

// auditFlags returns the audit flags of the API server.
func (c *Cluster) auditFlags() ([]string, error) {
	policy := c.file("audit-policy.yaml")
	flags := []string{"--audit-policy-file=" + policy, "--audit-log-path=" + c.file("audit.log")}
	return flags, os.WriteFile(policy, []byte(auditPolicy), 0o600)
}

// AuditLog returns the lines of the API server's audit log: the creations of pods.
func (c *Cluster) AuditLog() ([]map[string]any, error) {
	content, err := os.ReadFile(c.file("audit.log"))
	if err != nil {
		return nil, err
	}
	return parseLines(content)
}
