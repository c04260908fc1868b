package server

import (
	"fmt"
	"net/http"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// allowed is the outcome of a change that is not denied.
const allowed mutate.Outcome = "allowed"

const (
	// maxReport is the maximum length of the message of a denial, and maxFaults how many faults it lists.
	maxReport = 16 << 10
	maxFaults = 50
	// These limit the warnings of a response: the API server passes on 256 characters of each of 16.
	maxFaultWarnings  = 5
	maxBrokenWarnings = 8
	maxWarnings       = 16
)

// validation is the result of validating a change of a ConfigMap.
type validation struct {
	trial    conf.Trial
	trouble  error // why the result is uncertain; nil if it is certain
	snapshot *store.Snapshot
}

// outcome denies a change with rejected documents, unless the ConfigMaps cannot be read: a base that a document
// inherits from may be among them. If the document is invalid anyway, it is quarantined when it is loaded.
func (v *validation) outcome() mutate.Outcome {
	if len(v.trial.Rejected) > 0 && v.trouble == nil {
		return mutate.Denied
	}
	return allowed
}

// faults returns the documents of the ConfigMap that are rejected now or, if there are none, those that were
// rejected before.
func (v *validation) faults() []conf.Rejection {
	if len(v.trial.Rejected) > 0 {
		return v.trial.Rejected
	}
	return v.trial.Still
}

// buildResponse returns the response to the review.
func (v *validation) buildResponse(c *configMapReview) responseReview {
	outcome := v.outcome()
	answer := response{UID: c.UID, Allowed: outcome == allowed, Audit: audit{Outcome: outcome}}
	if outcome == allowed {
		answer.Warnings = v.warnings()
	} else {
		text := "these definitions would be rejected:\n" + strings.Join(messages(v.faults(), maxFaults), "\n")
		answer.Status = failure(http.StatusForbidden, truncate(text, maxReport))
	}
	return newResponseReview(c.apiVersion, answer)
}

// warnings returns the warnings about an allowed change.
func (v *validation) warnings() []string {
	prefix := "still rejected: "
	var list []string
	if v.trouble != nil {
		prefix = "would be rejected: "
		text := "this is uncertain, because the injector cannot read the ConfigMaps: " + v.trouble.Error()
		list = append(list, warning(text))
	}
	for _, fault := range messages(v.faults(), maxFaultWarnings) {
		list = append(list, warning(prefix+fault))
	}
	for i, rejection := range v.trial.Broken {
		if i == maxBrokenWarnings {
			list = append(list, warning(fmt.Sprintf("this breaks %d more documents", len(v.trial.Broken)-i)))
			break
		}
		list = append(list, warning(describeBroken(rejection)))
	}
	for i, lint := range v.trial.Warnings {
		if len(list) == maxWarnings-1 && i < len(v.trial.Warnings)-1 {
			return append(list, warning(fmt.Sprintf("and %d more warnings", len(v.trial.Warnings)-i)))
		}
		list = append(list, warning(lint.Error()))
	}
	return list
}

// describeBroken returns a warning about another document that the change breaks.
func describeBroken(r conf.Rejection) string {
	names := make([]string, len(r.Stale))
	for i, ref := range r.Stale {
		names[i] = ref.String()
	}
	return fmt.Sprintf("this breaks %s, whose last valid version stays in service until a restart: %v",
		strings.Join(names, ", "), r.Errors)
}

// messages returns at most limit errors of the rejections, each with its origin, and then the number of the
// other errors.
func messages(rejections []conf.Rejection, limit int) (list []string) {
	more := 0
	for _, r := range rejections {
		for _, err := range r.Errors.Errors {
			if len(list) == limit {
				more++
				continue
			}
			list = append(list, err.Error())
		}
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return list
}
